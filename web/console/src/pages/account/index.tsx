import { Code } from "@connectrpc/connect";
import { Account_Status, type Account as AccountMessage } from "internaltransfers-client";
import { useState } from "react";
import { describeError } from "../../lib/errors";
import { isZero } from "../../lib/money";
import type { StreamState } from "../../lib/stream";
import { isUUID, useUrlState } from "../../lib/url";
import {
  AccountStatusBadge,
  Amount,
  Avatar,
  accountName,
  Button,
  ButtonLink,
  Card,
  Columns,
  EmptyState,
  ErrorNotice,
  Figure,
  Figures,
  IdText,
  Notice,
  PageHeader,
  Skeleton,
  Time,
} from "../../ui";
import styles from "./account.module.css";
import { BalanceCard } from "./balance";
import { figureWidth } from "./figures";
import { Holds } from "./holds";
import { defaultPeriod, readPeriod } from "./period";
import { PolicyCard } from "./policy";
import { ProfileCard } from "./profile";
import { Statement } from "./statement";
import { type StatusChange, StatusDialog } from "./status-dialog";
import { useLiveAccount } from "./use-account";

type Phase = StreamState["phase"];

/** How the balance is kept up to date, where that is not as usual. */
const how: Partial<Record<Phase, string>> = {
  reconnecting: "Reconnecting; changed",
  stopped: "Read every few seconds; changed",
};

/** What it takes to change what restricts an account, and to pay from a currency's own account. */
const settings = ["accounts.write", "accounts.policy"] as const;
const issue = ["transfers.create", "money.issue"] as const;

const back = { href: "/accounts", label: "Accounts" };

/** One account: what it has, what happened to it, what it may do. */
export function Account({ id }: { id: string }) {
  if (!isUUID(id)) return <NoAccount id={id} />;
  return <KnownAccount id={id.trim().toLowerCase()} />;
}

function KnownAccount({ id }: { id: string }) {
  const { query, account, phase } = useLiveAccount(id);
  if (account) return <Loaded account={account} phase={phase} />;
  if (query.error && describeError(query.error).code === Code.NotFound) return <NoAccount id={id} />;
  return (
    <>
      <PageHeader title="Account" back={back} lead={<IdText id={id} full label="account id" />} />
      {query.error ? (
        <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />
      ) : (
        <Skeleton lines={8} />
      )}
    </>
  );
}

function NoAccount({ id }: { id: string }) {
  return (
    <>
      <PageHeader title="No such account" back={back} />
      <Card>
        <EmptyState action={<ButtonLink href="/accounts">All accounts</ButtonLink>}>
          {isUUID(id) ? (
            <>
              No account has the id <code>{id}</code>. Accounts are never deleted, so it never had one.
            </>
          ) : (
            <>
              <code>{id}</code> is no account id: those are UUIDs.
            </>
          )}
        </EmptyState>
      </Card>
    </>
  );
}

function Loaded({ account, phase }: { account: AccountMessage; phase: Phase }) {
  const [state, setState] = useUrlState(defaultPeriod);
  const period = readPeriod(state, new Date());
  return (
    <>
      <Header account={account} />
      <div className="stack">
        <Notices account={account} />
        <Balances account={account} phase={phase} />
        <Columns split="main">
          <div className="stack">
            <BalanceCard account={account} period={period} onPeriod={setState} />
            <Holds account={account} />
            <Statement account={account} period={period} />
          </div>
          <div className="stack">
            <PolicyCard account={account} />
            <ProfileCard account={account} />
          </div>
        </Columns>
      </div>
    </>
  );
}

function Header({ account }: { account: AccountMessage }) {
  const [change, setChange] = useState<StatusChange>();
  const { status } = account;
  // Only a currency's own equity account has no floor; its status is fixed.
  const fixed = account.minBalance === undefined || status === Account_Status.CLOSED;
  return (
    <>
      <PageHeader
        title={accountName(account)}
        back={back}
        heading={
          <span className={styles.heading}>
            <Avatar account={account} size={2.5} />
            <span>{accountName(account)}</span>
            <AccountStatusBadge status={status} />
          </span>
        }
        lead={<IdText id={account.accountId} full label="account id" />}
        actions={
          <>
            {!fixed && (
              <>
                {status === Account_Status.FROZEN ? (
                  <Button icon="play" needs={settings} onClick={() => setChange("open")}>
                    Unfreeze
                  </Button>
                ) : (
                  <Button icon="pause" needs={settings} onClick={() => setChange("freeze")}>
                    Freeze
                  </Button>
                )}
                <Button icon="lock" needs={settings} onClick={() => setChange("close")}>
                  Close
                </Button>
              </>
            )}
            {status === Account_Status.OPEN && (
              <ButtonLink
                kind="primary"
                icon="plus"
                needs={account.minBalance === undefined ? issue : "transfers.create"}
                href={`/new-transfer?from=${account.accountId}`}
              >
                New transfer
              </ButtonLink>
            )}
          </>
        }
      />
      <StatusDialog account={account} change={change} onClose={() => setChange(undefined)} />
    </>
  );
}

/** What is special about the account. */
function Notices({ account }: { account: AccountMessage }) {
  const { status } = account;
  return (
    <>
      {status === Account_Status.FROZEN && (
        <Notice tone="info" title="This account is frozen">
          No money moves in or out until it is unfrozen.
        </Notice>
      )}
      {status === Account_Status.CLOSED && (
        <Notice tone="neutral" title="This account is closed">
          No money moves, for ever. What happened before stays on record.
        </Notice>
      )}
      {account.minBalance === undefined && (
        <Notice tone="neutral" title={`This is the equity account of ${account.currency}`}>
          Opening balances and money that enters the ledger come from it, so its balance is what the ledger
          owes: the balances of all {account.currency} accounts sum to zero.
        </Notice>
      )}
    </>
  );
}

function Balances({ account, phase }: { account: AccountMessage; phase: Phase }) {
  const { balance, available, held, incoming, minBalance, maxBalance, currency } = account;
  return (
    <Card>
      <div className={styles.figures} style={figureWidth([`${balance} ${currency}`, available])}>
        <Figures>
          <Figure
            label="Balance"
            note={
              <>
                {how[phase] ?? "Changed"} <Time value={account.updateTime} as="relative" />
              </>
            }
          >
            <span aria-live="polite" aria-atomic="true">
              <Amount value={balance} currency={currency} />
            </span>
          </Figure>
          <Figure
            label="Available"
            note={
              minBalance === undefined ? (
                "Without a floor"
              ) : (
                <>
                  Above a floor of <Amount value={minBalance} />
                </>
              )
            }
          >
            <Amount value={available} />
          </Figure>
          <Figure label="Held" note="By open holds">
            <Amount value={held} muted={isZero(held)} />
          </Figure>
          <Figure
            label="Incoming"
            note={
              maxBalance === undefined ? (
                "Without a ceiling"
              ) : (
                <>
                  Below a ceiling of <Amount value={maxBalance} />
                </>
              )
            }
          >
            <Amount value={incoming} muted={isZero(incoming)} />
          </Figure>
        </Figures>
      </div>
    </Card>
  );
}
