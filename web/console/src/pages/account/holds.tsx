import { useInfiniteQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import {
  type Account,
  type Transfer,
  Transfer_Kind,
  Transfer_Status,
  TransferService,
} from "internaltransfers-client";
import { useState } from "react";
import { Link } from "wouter";
import { isZero } from "../../lib/money";
import { AccountName } from "../../parts/account-name";
import { CaptureDialog, ReleaseDialog } from "../../parts/hold-dialogs";
import { Amount, Button, Card, type Column, kindName, Table, Time, tableState } from "../../ui";
import { hasExpired } from "../transfer/offers";
import styles from "./account.module.css";

/** What is reserved or scheduled from and to an account, and what can be done with it. */
export function Holds({ account }: { account: Account }) {
  const [asked, setAsked] = useState<{ what: "capture" | "release"; hold: Transfer }>();
  const [open, setOpen] = useState(false);
  const query = useInfiniteQuery(
    TransferService.method.listTransfers,
    { accountId: account.accountId, status: Transfer_Status.INIT, pageSize: 20, pageToken: "" },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      placeholderData: keepPreviousData,
    },
  );
  const ask = (what: "capture" | "release", hold: Transfer) => {
    setAsked({ what, hold });
    setOpen(true);
  };
  const close = () => setOpen(false);
  const columns: Column<Transfer>[] = [
    {
      id: "transfer",
      header: "With",
      primary: true,
      cell: (hold) => <Counterparty hold={hold} accountId={account.accountId} />,
    },
    {
      id: "amount",
      header: "Reserved",
      align: "end",
      cell: (hold) => <Reserved hold={hold} />,
    },
    {
      id: "until",
      header: "Until",
      fit: true,
      cell: (hold) =>
        hold.kind === Transfer_Kind.SCHEDULED ? (
          <>
            due <Time value={hold.executeTime} as="relative" />
          </>
        ) : hold.expireTime ? (
          <Time value={hold.expireTime} as="relative" />
        ) : (
          <span className="muted">no end</span>
        ),
    },
    {
      id: "actions",
      header: "Actions",
      fit: true,
      align: "end",
      cell: (hold) => (
        <span className={styles.actions}>
          {hold.kind === Transfer_Kind.HOLD && (
            <Button small needs="transfers.settle" onClick={() => ask("capture", hold)}>
              Capture
            </Button>
          )}
          <Button small needs="transfers.settle" onClick={() => ask("release", hold)}>
            {hold.kind === Transfer_Kind.SCHEDULED ? "Cancel" : "Void"}
          </Button>
        </span>
      ),
    },
  ];
  return (
    <Card title="Open holds" flush>
      <Table
        label="Open holds and scheduled transfers"
        columns={columns}
        rows={query.data?.pages.flatMap((page) => page.transfers.filter((hold) => !hasExpired(hold)))}
        rowKey={(hold) => hold.transferId}
        empty="Nothing is reserved or scheduled."
        skeletonRows={2}
        {...tableState(query)}
      />
      {asked?.what === "capture" && <CaptureDialog hold={asked.hold} open={open} onClose={close} />}
      {asked?.what === "release" && <ReleaseDialog hold={asked.hold} open={open} onClose={close} />}
    </Card>
  );
}

/** What a hold still reserves, and what was captured of it. */
function Reserved({ hold }: { hold: Transfer }) {
  if (hold.kind !== Transfer_Kind.HOLD) return <Amount value={hold.amount} muted />;
  return (
    <>
      <Amount value={hold.heldAmount} />
      {!isZero(hold.postedAmount ?? "0") && (
        <div className={styles.note}>
          <Amount value={hold.postedAmount} /> captured
        </div>
      )}
    </>
  );
}

/** Whom a hold is with, and what for. */
function Counterparty({ hold, accountId }: { hold: Transfer; accountId: string }) {
  const out = hold.fromAccountId === accountId;
  return (
    <span className={styles.entry}>
      <span>
        {out ? "To " : "From "}
        <AccountName id={out ? hold.toAccountId : hold.fromAccountId} />
      </span>
      <Link href={`/transfers/${hold.transferId}`} className={styles.note}>
        {hold.reference || kindName(hold.kind)}
      </Link>
    </span>
  );
}
