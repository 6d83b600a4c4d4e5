import { useQuery } from "@connectrpc/connect-query";
import {
  AccountService,
  newTransferId,
  Transfer_Kind,
  Transfer_Status,
  TransferService,
} from "internaltransfers-client";
import { useState } from "react";
import { usePermission } from "../../lib/permissions";
import type { CallField, Example } from "./calls";

/** What fields are filled with at first: things that this ledger has, so that each call runs as it stands. */
export function useExamples(): (field: CallField) => string {
  const mayReadAccounts = usePermission("accounts.read") === undefined;
  const mayReadTransfers = usePermission("transfers.read") === undefined;
  const { data } = useQuery(
    AccountService.method.listAccounts,
    { pageSize: 50 },
    { enabled: mayReadAccounts },
  );
  const accounts = data?.accounts ?? [];
  const pending = useQuery(
    TransferService.method.listTransfers,
    { status: Transfer_Status.INIT, pageSize: 50 },
    { enabled: mayReadTransfers },
  ).data;
  const done = useQuery(
    TransferService.method.listTransfers,
    { status: Transfer_Status.SUCCESS, pageSize: 50 },
    { enabled: mayReadTransfers },
  ).data;
  // Made once for each visit of the page, for each field that is named so.
  const [ids] = useState<Map<string, string>>(() => new Map());

  const payer = accounts.find((account) =>
    accounts.some((other) => other !== account && other.currency === account.currency),
  );
  const payee = accounts.find((account) => account !== payer && account.currency === payer?.currency);
  const things: Record<Exclude<Example, "id">, string | undefined> = {
    payer: payer?.accountId,
    payee: payee?.accountId,
    hold: pending?.transfers.find(({ kind }) => kind === Transfer_Kind.HOLD)?.transferId,
    transfer: done?.transfers.find(({ kind }) => kind === Transfer_Kind.TRANSFER)?.transferId,
  };
  return ({ name, example, initial = "" }) => {
    if (example === undefined) return initial;
    if (example !== "id") return things[example] ?? "";
    let id = ids.get(name);
    if (id === undefined) {
      id = newTransferId();
      ids.set(name, id);
    }
    return id;
  };
}
