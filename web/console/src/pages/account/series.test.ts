import { expect, test } from "vitest";
import { balancePoints, balanceRange, sampleTimes } from "./series";

test("the balance begins with the opening one, and changes with each movement", () => {
  const movements = [
    { time: 20, balance: "7.00" },
    { time: 30, balance: "9.00" },
    { time: 30, balance: "8.00" },
  ];
  expect(balancePoints(10, "5.00", movements)).toEqual([
    { time: 10, balance: "5.00" },
    { time: 20, balance: "7.00" },
    { time: 30, balance: "8.00" },
  ]);
  expect(balancePoints(10, "5.00", [])).toEqual([{ time: 10, balance: "5.00" }]);
});

test("range", () => {
  const points = ["-1.00", "10.00", "9.00", "-10.00"].map((balance, time) => ({ time, balance }));
  expect(balanceRange(points)).toEqual({ low: "-10.00", high: "10.00" });
  expect(balanceRange([])).toEqual({ low: "0", high: "0" });
});

test("samples", () => {
  expect(sampleTimes(0, 100, 5)).toEqual([0, 25, 50, 75, 100]);
  expect(sampleTimes(0, 2, 9)).toEqual([0, 1, 2]);
  expect(sampleTimes(7, 7, 3)).toEqual([7]);
});
