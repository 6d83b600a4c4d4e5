import { create } from "@bufbuild/protobuf";
import {
  Event_Type,
  EventSchema,
  type Transfer,
  Transfer_ErrorReason,
  Transfer_Kind,
  Transfer_Status,
  TransferSchema,
} from "internaltransfers-client";
import { describe, expect, test } from "vitest";
import { sentence } from "./history";
import { actionsOf } from "./offers";

const { INIT, SUCCESS, FAILED } = Transfer_Status;
const { TRANSFER, HOLD, SCHEDULED, CAPTURE, EXECUTION, REVERSAL } = Transfer_Kind;

function transfer(kind: Transfer_Kind, status: Transfer_Status, change: object = {}): Transfer {
  return create(TransferSchema, { kind, status, amount: "50.00", currency: "USD", ...change });
}

describe("what can be done", () => {
  const actions = (t: Transfer) => actionsOf(t).map((offer) => offer.action);

  test.each([
    [HOLD, INIT, ["capture", "void"]],
    [SCHEDULED, INIT, ["void"]],
    [TRANSFER, SUCCESS, ["reverse"]],
    [CAPTURE, SUCCESS, ["reverse"]],
    [EXECUTION, SUCCESS, ["reverse"]],
    [REVERSAL, SUCCESS, []],
    [HOLD, SUCCESS, []],
    [HOLD, FAILED, []],
    [TRANSFER, FAILED, []],
  ])("about kind %i with status %i", (kind, status, expected) => {
    expect(actions(transfer(kind, status))).toEqual(expected);
  });

  test("nothing, when a hold has expired", () => {
    expect(actions(transfer(HOLD, INIT, { heldAmount: "0.01" }))).toEqual(["capture", "void"]);
    expect(actions(transfer(HOLD, INIT, { heldAmount: "0.00" }))).toEqual([]);
  });

  test("nothing, when all of it was moved back", () => {
    expect(actions(transfer(TRANSFER, SUCCESS, { reversedAmount: "49.99" }))).toEqual(["reverse"]);
    expect(actions(transfer(TRANSFER, SUCCESS, { reversedAmount: "50.00" }))).toEqual([]);
  });
});

test("the history of a hold", () => {
  const states = [
    transfer(HOLD, INIT, { heldAmount: "50.00", postedAmount: "0.00" }),
    transfer(HOLD, INIT, { heldAmount: "30.00", postedAmount: "20.00" }),
    transfer(HOLD, INIT, { heldAmount: "24.50", postedAmount: "25.50" }),
    transfer(HOLD, FAILED, {
      heldAmount: "0.00",
      postedAmount: "25.50",
      errorReason: Transfer_ErrorReason.HOLD_EXPIRED,
    }),
  ];
  const words = states.map((t, i) =>
    sentence(
      create(EventSchema, {
        type: i === 0 ? Event_Type.TRANSFER_CREATED : Event_Type.TRANSFER_CHANGED,
        transfer: t,
      }),
      states[i - 1],
    ),
  );
  expect(words).toEqual([
    "50.00\u00a0USD held",
    "20.00\u00a0USD captured",
    "5.50\u00a0USD captured",
    "Hold expired",
  ]);
});

test("the history of a transfer that was moved back", () => {
  const before = transfer(TRANSFER, SUCCESS, { reversedAmount: "10.00" });
  const after = transfer(TRANSFER, SUCCESS, { reversedAmount: "50.00" });
  expect(
    sentence(create(EventSchema, { type: Event_Type.TRANSFER_CREATED, transfer: before }), undefined),
  ).toBe("50.00\u00a0USD moved");
  expect(sentence(create(EventSchema, { type: Event_Type.TRANSFER_CHANGED, transfer: after }), before)).toBe(
    "40.00\u00a0USD moved back",
  );
});
