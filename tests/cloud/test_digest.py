"""What one location holds, as one hash: the same at both ends, and computable by hand."""

from hashlib import sha256

from gateway.ledger.feed import digest_of, digests
from gateway.stock.movements import Draft
from tests.cloud.ledgers import SKUS, book, sale, written


def test_the_hash_is_that_of_a_plain_json_array():
    rows = [("shelf", "tea", "", 3), ("stockroom", "tea", "", 9), ("shelf", "tee-größe", "L1", -1)]

    shelf, stockroom = digest_of(rows)

    assert (shelf.loc, shelf.rows) == ("shelf", 2)
    assert shelf.sha256 == sha256('[["tea","",3],["tee-größe","L1",-1]]'.encode()).hexdigest()
    assert stockroom.sha256 == sha256(b'[["tea","",9]]').hexdigest()


def test_an_item_that_came_and_went_is_not_in_the_digest(tmp_path):
    with written(tmp_path) as shop:
        book(shop, Draft(kind="receipt", sku=SKUS[1], quantity=1, source="SUPPLIER", destination="counter"))
        book(shop, sale(SKUS[1]), sale(SKUS[0]))

        epoch, seq, found = digests(shop.connection)

    assert (epoch, seq) == (1, 3)
    assert [(one.loc, one.rows) for one in found] == [("CUSTOMER", 2), ("SUPPLIER", 1), ("counter", 1)]
