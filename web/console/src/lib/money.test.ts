import { describe, expect, test } from "vitest";
import {
  addDecimals,
  checkAmount,
  compareDecimals,
  formatAmount,
  groupThousands,
  isNegative,
  isZero,
  negate,
  subtractDecimals,
} from "./money";

const nines = "9".repeat(38);

describe("arithmetic", () => {
  test.each([
    ["0.1", "0.2", "0.3"],
    ["20", "0.50", "20.50"],
    ["-0.01", "0.01", "0.00"],
    ["-5.00", "2.50", "-2.50"],
    [nines, "1", `1${"0".repeat(38)}`],
    ["9007199254740993", "0", "9007199254740993"],
    [`${nines}.${"9".repeat(18)}`, `0.${"0".repeat(17)}1`, `1${"0".repeat(38)}.${"0".repeat(18)}`],
  ])("%s + %s = %s", (a, b, sum) => {
    expect(addDecimals(a, b)).toBe(sum);
    expect(addDecimals(b, a)).toBe(sum);
    expect(compareDecimals(subtractDecimals(sum, b), a)).toBe(0);
  });

  test.each([
    ["1", "1.00", 0],
    ["-0", "0.00", 0],
    ["0.10", "0.1", 0],
    ["2", "10", -1],
    ["-2", "-10", 1],
    ["-0.01", "0", -1],
    ["9007199254740993", "9007199254740992", 1],
    [`${nines}.9`, `${nines}.89`, 1],
  ] as const)("compare %s with %s: %d", (a, b, order) => {
    expect(compareDecimals(a, b)).toBe(order);
    expect(compareDecimals(b, a)).toBe(order === 0 ? 0 : -order);
  });

  test("negate", () => {
    expect(negate("12.50")).toBe("-12.50");
    expect(negate("-0.05")).toBe("0.05");
    expect(negate("0.00")).toBe("0.00");
    expect(negate(`-${nines}`)).toBe(nines);
  });

  test("zero and sign", () => {
    expect(isZero("-0.000")).toBe(true);
    expect(isZero("0.001")).toBe(false);
    expect(isNegative("-0.01")).toBe(true);
    expect(isNegative("-0.00")).toBe(false);
  });

  test.each(["", "-", "1e3", "+1", "1.", ".5", " 1", "1,000", "NaN", "0x10"])("%j is no decimal", (text) => {
    expect(() => addDecimals(text, "1")).toThrow(RangeError);
  });
});

describe("formatAmount", () => {
  test.each([
    ["0.00", "0.00"],
    ["100", "100"],
    ["1000", "1,000"],
    ["123456.789012", "123,456.789012"],
    ["-1234567.50", "\u22121,234,567.50"],
    [
      "100000000000000000000000000000.000000000000000001",
      "100,000,000,000,000,000,000,000,000,000.000000000000000001",
    ],
    ["abc", "abc"],
    ["", ""],
  ])("%s is shown as %s", (value, text) => {
    expect(formatAmount(value)).toBe(text);
    expect(groupThousands(value)).toBe(text);
  });

  test("with currency and plus", () => {
    expect(formatAmount("1500.00", { currency: "USD" })).toBe("1,500.00\u00a0USD");
    expect(formatAmount("1500.00", { plus: true })).toBe("+1,500.00");
    expect(formatAmount("0.00", { plus: true })).toBe("0.00");
    expect(formatAmount("-1.00", { plus: true })).toBe("\u22121.00");
  });
});

describe("checkAmount", () => {
  test.each([
    ["20", 2, "20.00"],
    ["20.1", 2, "20.10"],
    ["12.", 2, "12.00"],
    [".5", 2, "0.50"],
    ["007", 0, "7"],
    ["  1 ", 2, "1.00"],
    ["-3.5", 2, "-3.50"],
    ["\u22123.5", 2, "-3.50"],
    ["-0", 2, "0.00"],
    ["0.000000000000000001", 18, "0.000000000000000001"],
    ["9007199254740993.01", 2, "9007199254740993.01"],
    [nines, 0, nines],
    [`000${nines}`, 0, nines],
    ["1,234", 2, "1234.00"],
    ["1,234,567", 8, "1234567.00000000"],
    ["1,234.5", 8, "1234.50000000"],
    ["1 234 567.89", 2, "1234567.89"],
    ["1\u202f234", 0, "1234"],
  ])("%j with %d decimals is %s", (text, scale, value) => {
    expect(checkAmount(text, scale)).toEqual({ ok: true, value });
  });

  test.each([
    ["", 2, "Enter an amount."],
    ["   ", 2, "Enter an amount."],
    ["-", 2, "Enter a number, such as 1234.50."],
    [".", 2, "Enter a number, such as 1234.50."],
    ["abc", 2, "Use digits and one point, such as 1234.50."],
    ["1e3", 2, "Use digits and one point, such as 1234.50."],
    ["+1", 2, "Use digits and one point, such as 1234.50."],
    ["--1", 2, "Use digits and one point, such as 1234.50."],
    ["1.2.3", 2, "Use digits and one point, such as 1234.50."],
    ["1,5", 2, "Use digits and one point, such as 1234.50."],
    ["1.234,50", 2, "Use digits and one point, such as 1234.50."],
    ["12,34,567", 2, "Use digits and one point, such as 1234.50."],
    ["1,234", 8, "Use digits and one point, such as 1234.50."],
    ["1,5", 0, "Use digits, such as 1234."],
    ["1.005", 2, "USD has 2 decimals at most."],
    ["1.000", 2, "USD has 2 decimals at most."],
    ["1.23", 1, "USD has 1 decimal at most."],
    ["1.0", 0, "USD has no decimals."],
    [`1${nines}`, 2, "At most 38 digits before the point."],
    ["١٢", 2, "Use digits and one point, such as 1234.50."],
  ])("%j with %d decimals is refused: %s", (text, scale, message) => {
    expect(checkAmount(text, scale, { currency: "USD" })).toEqual({ ok: false, message });
  });

  test("signs", () => {
    expect(checkAmount("-1", 2, { sign: "positive" })).toEqual({
      ok: false,
      message: "Must not be negative.",
    });
    expect(checkAmount("-0.00", 2, { sign: "positive" })).toEqual({
      ok: false,
      message: "Must be greater than zero.",
    });
    expect(checkAmount("0", 2, { sign: "positive" })).toEqual({
      ok: false,
      message: "Must be greater than zero.",
    });
    expect(checkAmount("0.01", 2, { sign: "positive" })).toEqual({ ok: true, value: "0.01" });
    expect(checkAmount("0", 2, { sign: "non-negative" })).toEqual({ ok: true, value: "0.00" });
    expect(checkAmount("-0.01", 2, { sign: "non-negative" })).toEqual({
      ok: false,
      message: "Must not be negative.",
    });
  });

  test("what it accepts, it shows and accepts again", () => {
    for (const text of ["1234567.5", "-0.01", "999", nines]) {
      const first = checkAmount(text, 2);
      expect(first.ok).toBe(true);
      if (first.ok) expect(checkAmount(formatAmount(first.value), 2)).toEqual(first);
    }
  });
});
