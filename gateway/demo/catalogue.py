"""What the corner shop sells. GTINs begin with 952, GS1's prefix for demonstrations: nothing real has one."""

from dataclasses import dataclass
from functools import cached_property

from gateway.stock.codes import check_digit_of


@dataclass(frozen=True)
class Article:
    """One article and how people buy it. Money in cents; `daily` is the mean sold on an average day."""

    number: int
    name: str
    category: str
    price_minor: int
    place: str
    daily: float
    pack_units: int
    shelf_days: int = 0  # 0: keeps for ever, as far as a shop is concerned
    weekend: float = 1.0  # how much more on Friday and Saturday
    supplier: str = "Central Wholesale"

    @cached_property
    def gtin13(self) -> str:
        body = f"952{self.number:09d}"
        return body + check_digit_of(body)

    @cached_property
    def sku(self) -> str:
        return self.gtin13.zfill(14)

    @property
    def cost_minor(self) -> int:
        return round(self.price_minor * 0.68)

    @property
    def case_code(self) -> str:
        """GTIN-14 of the full case: indicator digit 1."""
        body = f"1{self.gtin13[:-1]}"
        return body + check_digit_of(body)


DAIRY, BAKER, GREEN = "Hill Farm Dairy", "Baker Anna", "Green & Sons"
_TABLE = (
    # name, category, cents, place, daily, pack, shelf days, weekend, supplier
    ("Oat drink 1 L", "Dairy", 219, "A3", 6.0, 12, 60, 1.1, DAIRY),
    ("Whole milk 1 L", "Dairy", 139, "A1", 14.0, 12, 9, 1.2, DAIRY),
    ("Semi-skimmed milk 1 L", "Dairy", 129, "A1", 10.0, 12, 9, 1.1, DAIRY),
    ("Yoghurt natural 500 g", "Dairy", 149, "A2", 5.0, 6, 18, 1.0, DAIRY),
    ("Yoghurt strawberry 150 g", "Dairy", 65, "A2", 7.0, 20, 18, 1.0, DAIRY),
    ("Butter 250 g", "Dairy", 269, "A2", 5.0, 10, 40, 1.2, DAIRY),
    ("Cream 200 ml", "Dairy", 119, "A2", 3.0, 10, 14, 1.5, DAIRY),
    ("Cheddar 200 g", "Dairy", 329, "A4", 3.5, 8, 45, 1.2, DAIRY),
    ("Feta 200 g", "Dairy", 249, "A4", 2.0, 10, 60, 1.4, DAIRY),
    ("Eggs M x10", "Dairy", 299, "A5", 5.5, 10, 24, 1.4, DAIRY),
    ("Rye bread 500 g", "Bread", 289, "B1", 5.0, 5, 4, 1.2, BAKER),
    ("White bread 750 g", "Bread", 249, "B1", 7.0, 5, 3, 1.2, BAKER),
    ("Baguette", "Bread", 159, "B1", 9.0, 10, 2, 1.6, BAKER),
    ("Croissant", "Bread", 119, "B2", 11.0, 10, 2, 1.8, BAKER),
    ("Rolls x6", "Bread", 199, "B2", 6.0, 6, 3, 1.7, BAKER),
    ("Bananas 1 kg", "Fruit & veg", 189, "C1", 8.0, 12, 6, 1.0, GREEN),
    ("Apples 1 kg", "Fruit & veg", 269, "C1", 5.0, 10, 20, 1.0, GREEN),
    ("Lemons x4", "Fruit & veg", 199, "C1", 2.0, 12, 20, 1.3, GREEN),
    ("Tomatoes 500 g", "Fruit & veg", 229, "C2", 5.0, 10, 8, 1.3, GREEN),
    ("Cucumber", "Fruit & veg", 99, "C2", 4.0, 12, 8, 1.2, GREEN),
    ("Salad bag 200 g", "Fruit & veg", 179, "C2", 3.5, 8, 5, 1.3, GREEN),
    ("Potatoes 2 kg", "Fruit & veg", 299, "C3", 3.5, 8, 30, 1.0, GREEN),
    ("Onions 1 kg", "Fruit & veg", 149, "C3", 3.0, 10, 30, 1.0, GREEN),
    ("Spaghetti 500 g", "Pantry", 139, "D1", 4.0, 24, 0, 1.0, ""),
    ("Penne 500 g", "Pantry", 139, "D1", 3.0, 24, 0, 1.0, ""),
    ("Basmati rice 1 kg", "Pantry", 349, "D1", 1.8, 10, 0, 1.0, ""),
    ("Tomato passata 700 g", "Pantry", 169, "D2", 2.5, 12, 0, 1.0, ""),
    ("Pesto 190 g", "Pantry", 279, "D2", 1.2, 6, 0, 1.2, ""),
    ("Olive oil 750 ml", "Pantry", 899, "D2", 0.9, 6, 0, 1.0, ""),
    ("Flour 1 kg", "Pantry", 119, "D3", 1.8, 10, 0, 1.2, ""),
    ("Sugar 1 kg", "Pantry", 139, "D3", 1.6, 10, 0, 1.0, ""),
    ("Salt 500 g", "Pantry", 69, "D3", 0.6, 12, 0, 1.0, ""),
    ("Muesli 750 g", "Pantry", 389, "D4", 1.5, 8, 0, 1.0, ""),
    ("Honey 500 g", "Pantry", 599, "D4", 0.6, 6, 0, 1.0, ""),
    ("Strawberry jam 340 g", "Pantry", 249, "D4", 1.2, 6, 0, 1.0, ""),
    ("Ground coffee 500 g", "Pantry", 649, "D5", 2.5, 12, 0, 1.0, ""),
    ("Black tea x50", "Pantry", 229, "D5", 0.9, 12, 0, 1.0, ""),
    ("Dark chocolate 100 g", "Sweets", 179, "E1", 4.0, 20, 0, 1.3, ""),
    ("Milk chocolate 100 g", "Sweets", 139, "E1", 5.0, 20, 0, 1.3, ""),
    ("Gummy bears 200 g", "Sweets", 119, "E1", 3.0, 18, 0, 1.4, ""),
    ("Crisps salted 175 g", "Sweets", 199, "E2", 4.5, 10, 0, 1.8, ""),
    ("Peanuts 250 g", "Sweets", 189, "E2", 1.8, 12, 0, 1.6, ""),
    ("Biscuits 300 g", "Sweets", 159, "E2", 2.6, 16, 0, 1.1, ""),
    ("Mineral water 1.5 L", "Drinks", 79, "F1", 11.0, 6, 0, 1.1, ""),
    ("Sparkling water 1.5 L", "Drinks", 79, "F1", 8.0, 6, 0, 1.2, ""),
    ("Cola 1.5 L", "Drinks", 189, "F2", 5.5, 6, 0, 1.6, ""),
    ("Orange juice 1 L", "Drinks", 249, "F2", 4.0, 8, 0, 1.3, ""),
    ("Lager 500 ml", "Drinks", 129, "F3", 8.0, 20, 0, 2.1, ""),
    ("Alcohol-free beer 500 ml", "Drinks", 119, "F3", 2.2, 20, 0, 1.5, ""),
    ("Red wine 750 ml", "Drinks", 699, "F4", 1.8, 6, 0, 2.2, ""),
    ("Kitchen roll x2", "Household", 299, "G1", 1.3, 10, 0, 1.0, ""),
    ("Toilet paper x8", "Household", 449, "G1", 2.0, 7, 0, 1.0, ""),
    ("Washing-up liquid 500 ml", "Household", 179, "G2", 0.9, 12, 0, 1.0, ""),
    ("Bin bags 35 L x20", "Household", 199, "G2", 0.7, 20, 0, 1.0, ""),
    ("AA batteries x4", "Household", 499, "G3", 0.5, 12, 0, 1.0, ""),
    ("Birthday candles", "Household", 249, "G3", 0.1, 12, 0, 1.0, ""),
)
ARTICLES = tuple(
    Article(number, *row[:-1], supplier=row[-1] or "Central Wholesale")
    for number, row in enumerate(_TABLE, start=101)
)


def master_rows() -> list[dict[str, object]]:
    """The item master as an import sends it; a case scans as a pack."""
    return [
        {
            "sku": one.sku,
            "name": one.name,
            "category": one.category,
            "unit": "piece",
            "price_minor": one.price_minor,
            "cost_minor": one.cost_minor,
            "place": one.place,
            "low_units": max(1, round(one.daily)),
            "supplier": one.supplier,
            "pack_units": one.pack_units,
            "codes": [[one.sku, 1], [one.case_code, one.pack_units]],
        }
        for one in ARTICLES
    ]
