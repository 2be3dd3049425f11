# SPDX-License-Identifier: Apache-2.0
"""Numbers with a unit, a currency or a noun.

Recognises: 12 cm, 60 km/h, 25°C, $5, 5 ft 3 in, 12 apples; units by pint.
Compares: number and unit; a unit may be left out, and is never converted; prefixes are case-sensitive (5 mW is no 5
MW).
Refuses: another unit, a single letter right behind the number (5m may be a variable) beside a bare number.
"""

from verl_df.judges.kinds import numbers
from verl_df.judges.kinds.outcome import Example

NAME = "quantity"
EXAMPLES = (
    Example(
        "12 cm",
        ("12", "12cm", "12 centimeters", r"12\,\text{cm}", "h = 12 cm"),
        ("12 m", "12 cm^2", "12 apples", "13 cm"),
    ),
    Example(
        "12 cm^2",
        ("12 sq. cm", "12 cm2", "12 square centimetres", "12 cm²"),
        ("12 cm", "12 m^2", "12 cubic centimeters"),
    ),
    Example(
        "60 km/h", ("60 kilometers per hour", r"60\ \mathrm{km/h}", "60 km h^{-1}"), ("60 m/s", "60 km", "60 h/km")
    ),
    Example("5 mW", ("5 milliwatts", "5"), ("5 MW", "5 W", "5 kW")),
    Example("25°C", ("25 degrees Celsius", "25℃", r"25^\circ \text{C}", "25"), ("25°F", "25 K", "-25°C")),
    Example("$5", ("5", "5 dollars", "US$5", "5.00"), ("€5", "-5", "5 cents", "$50")),
    Example("5 ft 3 in", ("5 feet 3 inches", "5 ft, 3 in"), ("5 ft", "3 in", "5 ft 4 in", "5.3 ft")),
    Example(
        "12 apples", ("12 red apples", "12 apple", "12"), ("12 oranges", "11 apples", "12 cm", "12 apples and 3 pears")
    ),
    Example("10^5 Pa", ("100000 Pa", "10^5"), ("10 Pa", "10^5 kPa", "10")),
    Example("5 m", ("5", "5m", "5 metres"), ("5 km", "5a", "5 M")),
    Example(r"2\sqrt{3} cm", (r"2\sqrt{3}", r"\sqrt{12}\,\mathrm{cm}"), (r"2\sqrt{3} m", r"2\sqrt{2} cm", "3.4")),
)

read = numbers.reader(lambda truth: len(truth.parts) > 1 or not truth.unit.missing)
compare = numbers.compare
