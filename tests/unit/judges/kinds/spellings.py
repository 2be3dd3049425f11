# SPDX-License-Identifier: Apache-2.0
"""Values of every kind, drawn at random, with spellings that mean the same."""

from fractions import Fraction

from hypothesis import strategies as st

MONTHS = "January February March April May June July August September October November December".split()
UNITS = {
    "cm": ["cm", "centimeters", "centimetre", r"\text{cm}", r"\mathrm{cm}"],
    "m/s": ["m/s", "meters per second", r"\mathrm{m/s}", "m s^{-1}"],
    "cm^2": ["cm^2", "cm²", "sq. cm", "square centimeters", "cm2"],
    "kg": ["kg", "kilograms", "Kilogram"],
    "mW": ["mW", "milliwatts"],
    "MW": ["MW", "megawatts"],
    "°C": ["°C", "degrees Celsius", "℃", r"^\circ\text{C}"],
    "°": ["°", "degrees", r"^\circ", r"^{\circ}", "˚"],
    "km/h": ["km/h", "kilometers per hour", "kph"],
    "apples": ["apples", "red apples", "apple"],
    "dollars": ["dollars", "USD"],
    "euros": ["euros", "€"],
}


def integer_spellings(value: int) -> list[str]:
    sign, size = "-" if value < 0 else "", abs(value)
    latex = f"{size:,}".replace(",", "{,}")
    return [
        str(value), f"{value:,}", f"{value:,}".replace(",", " "), f"{sign}{latex}", f"{value}.0", f"{value}.",
        f"{value:+}",
        f"${value}$", rf"\({value}\)", f"x = {value}", f"x={value}", f"{2 * value}/2", rf"\frac{{{3 * value}}}{{3}}",
        f"{100 * value}%", rf"{value} \cdot 1", f"1 \\times {value}" if value >= 0 else str(value), f"{value} cm",
        f"{value} apples", f"about {value}", rf"\approx {value}", str(value).replace("-", "−"), f"{value + 7} - 7 + 0",
    ]  # fmt: skip


def decimal_spellings(digits: int, places: int) -> list[str]:
    value = Fraction(digits, 10**places)
    text = f"{'-' if digits < 0 else ''}{abs(digits) // 10**places}.{abs(digits) % 10**places:0{places}d}"
    return [
        text, f"{text}0", f"x = {text}", f"{digits}/{10**places}", rf"{digits} \times 10^{{-{places}}}",
        f"{digits}e-{places}",
        text.replace("-", "−"), f"{digits} × 10⁻{'⁰¹²³⁴⁵⁶⁷⁸⁹'[places]}", str(value) if value.denominator > 1 else text,
    ]  # fmt: skip


def fraction_spellings(value: Fraction) -> list[str]:
    sign, top, bottom = "-" if value < 0 else "", abs(value.numerator), value.denominator
    whole, rest = divmod(top, bottom)
    mixed = [f"{sign}{whole} {rest}/{bottom}", rf"{sign}{whole}\frac{{{rest}}}{{{bottom}}}"] if whole and rest else []
    return [
        f"{sign}{top}/{bottom}", rf"{sign}\frac{{{top}}}{{{bottom}}}", rf"\frac{{{sign}{top}}}{{{bottom}}}",
        rf"{sign}\dfrac{{{2 * top}}}{{{2 * bottom}}}", f"{sign}{top} / {bottom}", f"k = {sign}{top}/{bottom}", *mixed,
    ]  # fmt: skip


def time_spellings(minutes: int) -> list[str]:
    hour, minute = divmod(minutes, 60)
    half = "AM" if hour < 12 else "PM"
    twelve = hour % 12 or 12
    return [f"{twelve}:{minute:02d} {half}", f"{twelve:02d}:{minute:02d} {half.lower()}",
            f"{twelve}:{minute:02d}{half}",
            f"{twelve}:{minute:02d} {half[0].lower()}.m.", f"{twelve}:{minute:02d}:00 {half}"]  # fmt: skip


def date_spellings(year: int, month: int, day: int) -> list[str]:
    name = MONTHS[month - 1]
    return [f"{year}-{month:02d}-{day:02d}", f"{year}/{month}/{day}", f"{name} {day}, {year}", f"{day} {name} {year}",
            f"{name[:3]} {day}, {year}", f"{name.upper()} {day}, {year}"]  # fmt: skip


def range_spellings(low: int, high: int) -> list[str]:
    return [f"{low}{dash}{high}" for dash in ("-", "–", "—", " - ", " to ")] + [f"between {low} and {high}"]


def ratio_spellings(left: int, right: int, factor: int) -> list[str]:
    return [f"{left}:{right}:1", f"{left} : {right} : 1", f"{factor * left}:{factor * right}:{factor}"]


def set_spellings(values: list[int]) -> list[str]:
    texts = list(map(str, values))
    bare = [", ".join(texts), " and ".join(texts)] if len(texts) > 1 else []
    return [rf"\{{{', '.join(texts)}\}}", rf"\{{{','.join(reversed(texts))}\}}", f"{{{', '.join(texts)}}}", *bare]


INTEGERS = st.integers(-(10**9), 10**9)
FRACTIONS = st.fractions(-1000, 1000, max_denominator=999).filter(lambda value: value.denominator > 1)
DATES = st.tuples(st.integers(1800, 2100), st.integers(1, 12), st.integers(1, 28))
RANGES = st.tuples(st.integers(0, 3000), st.integers(0, 3000))
SETS = st.lists(st.integers(-99, 99), min_size=2, max_size=5, unique=True)
