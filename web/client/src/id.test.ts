import { expect, test } from "vitest";
import { newTransferId } from "./id.js";

test("is a UUID of version 7 with the time in it", () => {
  const before = Date.now();
  const id = newTransferId();
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const time = Number.parseInt(id.replace("-", "").slice(0, 12), 16);
  expect(time).toBeGreaterThanOrEqual(before);
  expect(time).toBeLessThanOrEqual(Date.now());
  expect(newTransferId()).not.toBe(id);
});
