// Amounts are decimal strings, as the API gives and takes them: an optional minus sign, 1 to 38 digits, and optionally a
// point with 1 to 18 digits. All arithmetic here is on integers of any length; no amount is ever a Number, but to draw it.

/** The most digits that an amount has before its point. */
const integerDigitsMax = 38;

const decimalPattern = /^(-?)([0-9]+)(?:\.([0-9]+))?$/;

/** A decimal number: an integer, and how many of its digits are behind the point. */
interface Decimal {
  units: bigint;
  scale: number;
}

function parse(value: string): Decimal {
  const parts = decimalPattern.exec(value);
  if (!parts) throw new RangeError(`not a decimal number: ${JSON.stringify(value)}`);
  const [, sign = "", whole = "0", fraction = ""] = parts;
  return { units: BigInt(sign + whole + fraction), scale: fraction.length };
}

/** The number of digits behind the point. */
export function decimalsOf(value: string): number {
  return parse(value).scale;
}

/** The amount as an integer of its smallest unit, such as cents. It must have no more decimals than that. */
function toUnits(value: string, scale: number): bigint {
  const decimal = parse(value);
  if (decimal.scale > scale) throw new RangeError(`${value} has more than ${scale} decimals`);
  return decimal.units * 10n ** BigInt(scale - decimal.scale);
}

/** The amount that is so many of its smallest unit. */
function fromUnits(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  return (units < 0n ? "-" : "") + digits.slice(0, point) + (scale > 0 ? `.${digits.slice(point)}` : "");
}

/** Says which of two decimals is greater: -1 when b is, 1 when a is, 0 when they are the same number. */
export function compareDecimals(a: string, b: string): -1 | 0 | 1 {
  const scale = Math.max(decimalsOf(a), decimalsOf(b));
  const x = toUnits(a, scale);
  const y = toUnits(b, scale);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The exact sum, with as many decimals as the one that has most. Of nothing it is 0. */
export function addDecimals(...values: string[]): string {
  const scale = Math.max(0, ...values.map(decimalsOf));
  return fromUnits(
    values.reduce((sum, value) => sum + toUnits(value, scale), 0n),
    scale,
  );
}

/** The exact difference a - b, with as many decimals as the one of the two that has more. */
export function subtractDecimals(a: string, b: string): string {
  return addDecimals(a, negate(b));
}

/** The same amount with the other sign. Zero has none. */
export function negate(value: string): string {
  const { units, scale } = parse(value);
  return fromUnits(-units, scale);
}

/** Whether the amount is zero, whatever its decimals. */
export function isZero(value: string): boolean {
  return parse(value).units === 0n;
}

/** Whether the amount is less than zero. */
export function isNegative(value: string): boolean {
  return parse(value).units < 0n;
}

/** The nearest Number of an amount, for the height of a bar or line and nothing else. */
export function approximate(value: string): number {
  return Number(value);
}

/**
 * Groups the thousands of an amount, digit by digit: 1234567.50 as 1,234,567.50, with a minus sign that is as wide as a
 * digit. Nothing is rounded. What is no decimal number stays as it is.
 */
export function groupThousands(value: string): string {
  const parts = decimalPattern.exec(value);
  if (!parts) return value;
  const [, minus, whole = "", fraction] = parts;
  return (
    (minus ? "\u2212" : "") + whole.replace(/\B(?=(?:[0-9]{3})+$)/g, ",") + (fraction ? `.${fraction}` : "")
  );
}

/** How an amount is shown. */
export interface FormatOptions {
  /** The code of the currency, put behind the amount. */
  currency?: string;
  /** Put a plus sign before what is greater than zero. Default: no. */
  plus?: boolean;
}

/** An amount as text for people: +1,500.00 USD. */
export function formatAmount(value: string, { currency, plus }: FormatOptions = {}): string {
  const sign = plus && !value.startsWith("-") && /[1-9]/.test(value) ? "+" : "";
  return sign + groupThousands(value) + (currency ? `\u00a0${currency}` : "");
}

/** What an amount that is typed must be. */
export interface CheckOptions {
  /** Which signs it may have. Default: any. */
  sign?: "any" | "positive" | "non-negative";
  /** The code of the currency, for the message. */
  currency?: string;
}

/** What a typed amount is: its value as the API takes it, with all decimals of the currency, or what is wrong with it. */
export type CheckedAmount = { ok: true; value: string } | { ok: false; message: string };

/**
 * Checks an amount as it is typed or pasted, for a currency with that many decimals. Half-typed numbers such as "12." and
 * ".5" are numbers already; spaces around it and separators between thousands are taken away where they cannot be meant
 * otherwise. More decimals than the currency has are refused, also when they are zeros: in half of the world 1.000 is a
 * thousand.
 */
export function checkAmount(
  text: string,
  scale: number,
  { sign = "any", currency }: CheckOptions = {},
): CheckedAmount {
  const refuse = (message: string): CheckedAmount => ({ ok: false, message });
  const typed = withoutGrouping(text.trim().replace("\u2212", "-"), scale);
  if (typed === "") return refuse("Enter an amount.");
  const parts = /^(-?)([0-9]*)(?:\.([0-9]*))?$/.exec(typed);
  if (!parts) return refuse(`Use digits${scale > 0 ? " and one point" : ""}, such as ${example(scale)}.`);
  const [, minus = "", whole = "", fraction = ""] = parts;
  if (whole === "" && fraction === "") return refuse(`Enter a number, such as ${example(scale)}.`);
  if (fraction.length > scale) return refuse(tooPrecise(scale, currency));
  const digits = whole.replace(/^0+(?=[0-9])/, "") || "0";
  if (digits.length > integerDigitsMax) return refuse(`At most ${integerDigitsMax} digits before the point.`);
  const value = fromUnits(BigInt(minus + digits + fraction.padEnd(scale, "0")), scale);
  if (sign !== "any" && isNegative(value)) return refuse("Must not be negative.");
  if (sign === "positive" && isZero(value)) return refuse("Must be greater than zero.");
  return { ok: true, value };
}

/**
 * Takes the separators out of 1,234,567.50 and 1 234 567.50, and leaves everything else alone. One comma before three
 * digits may be a decimal comma where the currency has three decimals or more; then it stays, and is refused.
 */
function withoutGrouping(text: string, scale: number): string {
  if (/^-?[0-9]{1,3}(?:[ \u00a0\u2009\u202f][0-9]{3})+(?:\.[0-9]*)?$/.test(text))
    return text.replace(/\s/g, "");
  if (!/^-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?$/.test(text)) return text;
  const unambiguous = scale < 3 || text.includes(".") || text.split(",").length > 2;
  return unambiguous ? text.replaceAll(",", "") : text;
}

function example(scale: number): string {
  return scale > 0 ? `1234.${"5".padEnd(Math.min(scale, 2), "0")}` : "1234";
}

function tooPrecise(scale: number, currency?: string): string {
  const subject = currency ?? "The currency";
  if (scale === 0) return `${subject} has no decimals.`;
  return `${subject} has ${scale} ${scale === 1 ? "decimal" : "decimals"} at most.`;
}
