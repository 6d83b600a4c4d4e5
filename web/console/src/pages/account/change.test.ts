import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Account, Account_Status, AccountSchema } from "internaltransfers-client";
import { describe, expect, test } from "vitest";
import { ChangedMeanwhileError, changeAccount, changedSettings, rebase } from "./change";

const seen = create(AccountSchema, {
  accountId: "12359cc6-6ea6-41a6-9c52-79734acbf191",
  version: 5n,
  status: Account_Status.OPEN,
  balance: "10.00",
  metadata: { a: "1", b: "2" },
  limits: [{ window: { seconds: 60n }, maxAmount: "5.00" }],
  debitBlock: { reason: "lost" },
});

/** A server with one account, on which something happens before each call that reads it. */
function server(account: Account, happens: (account: Account) => void) {
  const calls: (bigint | undefined)[] = [];
  return {
    calls,
    async updateAccount(request: { expectedVersion?: bigint }) {
      calls.push(request.expectedVersion);
      if (request.expectedVersion !== account.version) throw new ConnectError("other version", Code.Aborted);
      return { account };
    },
    async getAccount() {
      happens(account);
      return { account: structuredClone(account) };
    },
  } as unknown as Parameters<typeof changeAccount>[0] & { calls: (bigint | undefined)[] };
}

describe("changedSettings", () => {
  test("knows movements from changes", () => {
    expect(
      changedSettings(seen, create(AccountSchema, { ...seen, version: 9n, balance: "3.00", held: "1.00" })),
    ).toEqual([]);
  });

  test.each([
    [{ displayName: "x" }, "display_name"],
    [{ metadata: { a: "1" } }, "metadata"],
    [{ metadata: { a: "1", c: "2" } }, "metadata"],
    [{ minBalance: "0.00" }, "min_balance"],
    [{ debitBlock: undefined }, "debit_block"],
    [{ debitBlock: { reason: "found" } }, "debit_block"],
    [{ creditBlock: { reason: "lost" } }, "credit_block"],
    [{ limits: [] }, "limits"],
    [{ limits: [{ window: { seconds: 60n }, maxAmount: "6.00" }] }, "limits"],
    [{ status: Account_Status.FROZEN }, "status"],
  ])("a change: %#", (change, setting) => {
    const { $typeName: _, ...fields } = seen;
    const now = create(AccountSchema, { ...fields, ...(change as object) });
    expect(changedSettings(seen, now)).toEqual([setting]);
  });
});

describe("changeAccount", () => {
  test("is made at once on what was seen", async () => {
    const there = server(create(AccountSchema, { ...seen }), () => {});
    await changeAccount(there, seen, {}, ["status"]);
    expect(there.calls).toEqual([5n]);
  });

  test("is made while money moves", async () => {
    const there = server(create(AccountSchema, { ...seen, version: 7n, balance: "4.00" }), () => {});
    await changeAccount(there, seen, {}, ["status"]);
    expect(there.calls).toEqual([5n, 7n]);
  });

  test("is not made when somebody changed the settings", async () => {
    const there = server(create(AccountSchema, { ...seen, version: 7n }), (account) => {
      account.status = Account_Status.FROZEN;
      account.displayName = "x";
      account.imageUrl = "https://example.com/x.png";
    });
    const change = changeAccount(there, seen, {}, ["status"]);
    await expect(change).rejects.toThrow(ChangedMeanwhileError);
    await expect(change).rejects.toThrow(
      "The account was frozen meanwhile. Somebody changed the name and the picture meanwhile. Nothing was done.",
    );
    expect(there.calls).toEqual([5n]);
  });

  test("gives up when money moves too fast", async () => {
    let version = 10n;
    const there = server(create(AccountSchema, { ...seen, version }), () => {});
    const racing = {
      ...there,
      getAccount: async () => ({ account: create(AccountSchema, { ...seen, version: ++version }) }),
    };
    await expect(changeAccount(racing as unknown as typeof there, seen, {}, ["status"])).rejects.toThrow(
      "other version",
    );
    expect(there.calls.length).toBe(20);
  });
});

test("what was typed stays when the account changed beneath", () => {
  const before = { name: "a", picture: "p", pairs: [{ key: "k" }] };
  const typed = { name: "b", picture: "p", pairs: [{ key: "k" }] };
  const now = { name: "c", picture: "q", pairs: [{ key: "l" }] };
  expect(rebase(typed, before, now)).toEqual({ name: "b", picture: "q", pairs: [{ key: "l" }] });
});
