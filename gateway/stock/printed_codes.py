"""Pure: barcodes that we print ourselves, as rows of modules and as SVG.

Code 128 in code set B (ISO/IEC 15417) and Data Matrix ECC 200 in one size, 22 x 22 (ISO/IEC 16022). Enough for the
scanner check card; no library that is small and kept prints a GS1 Data Matrix.
"""

from functools import cache

START_B, STOP = 104, 106
# Widths of bars and spaces in turn, by the value of the character (ISO/IEC 15417, table 1)
WIDTHS = """
212222 222122 222221 121223 121322 131222 122213 122312 132212 221213 221312 231212 112232 122132 122231 113222
123122 123221 223211 221132 221231 213212 223112 312131 311222 321122 321221 312212 322112 322211 212123 212321
232121 111323 131123 131321 112313 132113 132311 211313 231113 231311 112133 112331 132131 113123 113321 133121
313121 211331 231131 213113 213311 213131 311123 311321 331121 312113 312311 332111 314111 221411 431111 111224
111422 121124 121421 141122 141221 112214 112412 122114 122411 142112 142211 241211 221114 413111 241112 134111
111242 121142 121241 114212 124112 124211 411212 421112 421211 212141 214121 412121 111143 111341 131141 114113
114311 411113 411311 113141 114131 311141 411131 211412 211214 211232 2331112
""".split()  # noqa: SIM905 - a table is read, and a list of 107 lines is not
QUIET_128, QUIET_MATRIX = 10, 2  # light modules around

MATRIX_SIDE, MATRIX_DATA, MATRIX_CHECK = 22, 30, 20  # modules a side; codewords of data, of error correction
FNC1, PAD = 232, 129
GF_POLYNOMIAL = 0x12D
GS = "\x1d"

Rows = list[list[bool]]  # dark modules, from top to bottom


def code128(text: str) -> Rows:
    """One row of modules, without quiet zones. `text`: printable ASCII. Raises ValueError."""
    if not text or not all(" " <= char <= "~" for char in text):
        raise ValueError(f"{text!r}: code set B has only printable ASCII")
    values = [START_B, *(ord(char) - 32 for char in text)]
    check = (START_B + sum(at * value for at, value in enumerate(values))) % 103
    widths = "".join(WIDTHS[value] for value in [*values, check, STOP])
    return [[at % 2 == 0 for at, width in enumerate(widths) for _ in range(int(width))]]


def gs1_data_matrix(text: str) -> Rows:
    """A GS1 Data Matrix of an element string, GS between its parts. Raises ValueError when it is too long."""
    codewords = [FNC1, *_ascii_codewords(text)]
    if len(codewords) > MATRIX_DATA:
        raise ValueError(f"{len(codewords)} codewords, {MATRIX_DATA} fit")
    codewords += _padding(len(codewords))
    codewords += _reed_solomon(codewords)
    inner = MATRIX_SIDE - 2
    rows = [[False] * MATRIX_SIDE for _ in range(MATRIX_SIDE)]
    for at in range(MATRIX_SIDE):
        rows[0][at] = at % 2 == 0
        rows[at][MATRIX_SIDE - 1] = at % 2 == 1
        rows[at][0] = rows[MATRIX_SIDE - 1][at] = True
    for (row, column), (codeword, bit) in _placement(inner).items():
        rows[row + 1][column + 1] = bool(codewords[codeword] >> (7 - bit) & 1)
    return rows


def svg(rows: Rows, module_px: int, bar_px: int = 0, title: str = "") -> str:
    """A drawing in its true size, in CSS pixels (1/96 inch) so that edges fall on pixels of a screen, too.

    `bar_px` is the height of a code that has one row only.
    """
    quiet = QUIET_128 if bar_px else QUIET_MATRIX
    top = 0 if bar_px else quiet
    across, down = len(rows[0]) + 2 * quiet, len(rows) + 2 * top
    path = "".join(
        f"M{quiet + begin} {top + number}h{length}v1h-{length}z"
        for number, row in enumerate(rows)
        for begin, length in _runs(row)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across * module_px}"'
        f' height="{bar_px or down * module_px}" viewBox="0 0 {across} {down}" preserveAspectRatio="none"'
        f' shape-rendering="crispEdges" role="img" aria-label="{title}">'
        f'<path fill="#fff" d="M0 0h{across}v{down}h-{across}z"/><path d="{path}"/></svg>'
    )


def _runs(row: list[bool]) -> list[tuple[int, int]]:
    """(begin, length) of each run of dark modules."""
    edges = [at for at in range(len(row) + 1) if (at < len(row) and row[at]) != (at > 0 and row[at - 1])]
    return [(begin, end - begin) for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def _ascii_codewords(text: str) -> list[int]:
    """ASCII encodation: two digits in one codeword, GS as FNC1."""
    found, at = [], 0
    while at < len(text):
        pair = text[at : at + 2]
        if len(pair) == 2 and pair.isascii() and pair.isdigit():
            found.append(130 + int(pair))
            at += 2
            continue
        found.append(FNC1 if text[at] == GS else ord(text[at]) + 1)
        at += 1
    return found


def _padding(used: int) -> list[int]:
    """The first pad as it is, the others stirred by their place."""
    stirred = [(PAD + 149 * place % 253) % 254 + 1 for place in range(used + 2, MATRIX_DATA + 1)]
    return [PAD, *stirred][: MATRIX_DATA - used]


def _reed_solomon(codewords: list[int]) -> list[int]:
    """The remainder of a division in GF(256): MATRIX_CHECK codewords."""
    generator = _generator(MATRIX_CHECK)
    rest = [0] * MATRIX_CHECK
    for codeword in codewords:
        factor = codeword ^ rest[0]
        rest = [left ^ _times(factor, weight) for left, weight in zip([*rest[1:], 0], generator, strict=True)]
    return rest


@cache
def _generator(count: int) -> tuple[int, ...]:
    """(x + 2)(x + 4)(x + 8) ... without its leading 1, the highest power first."""
    polynomial, root = [1], 1
    for _ in range(count):
        root = _times(root, 2)
        raised = [*polynomial, 0]
        polynomial = [a ^ _times(b, root) for a, b in zip(raised, [0, *polynomial], strict=True)]
    return tuple(polynomial[1:])


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= GF_POLYNOMIAL
        b >>= 1
    return product


@cache
def _placement(side: int) -> dict[tuple[int, int], tuple[int, int]]:
    """(row, column) -> (codeword, bit), bit 0 the most significant: diagonal sweeps over the data region.

    ISO/IEC 16022, annex F. Of its four corner cases only the first arises for sides with side % 8 == 4.
    """
    assert side % 8 == 4
    found: dict[tuple[int, int], tuple[int, int]] = {}
    count = 0

    def put(places: list[tuple[int, int]]) -> None:
        nonlocal count
        for bit, (row, column) in enumerate(places):
            if row < 0:  # what leaves at the top comes back at the bottom ...
                row, column = row + side, column + 4 - (side + 4) % 8
            if column < 0:  # ... and what leaves at the left, at the right
                row, column = row + 4 - (side + 4) % 8, column + side
            found[row, column] = (count, bit)
        count += 1

    def shape(row: int, column: int) -> None:
        """The eight modules of a codeword, its last bit at (row, column)."""
        if 0 <= row < side and 0 <= column < side and (row, column) not in found:
            offsets = ((-2, -2), (-2, -1), (-1, -2), (-1, -1), (-1, 0), (0, -2), (0, -1), (0, 0))
            put([(row + down, column + right) for down, right in offsets])

    row, column = 4, 0
    while row < side or column < side:
        if (row, column) == (side, 0):
            left = [(side - 1, right) for right in range(3)]
            put([*left, (0, side - 2), *((down, side - 1) for down in range(4))])
        while row >= 0 and column < side:
            shape(row, column)
            row, column = row - 2, column + 2
        row, column = row + 1, column + 3
        while row < side and column >= 0:
            shape(row, column)
            row, column = row + 2, column - 2
        row, column = row + 3, column + 1
    return found
