import { useMutation, useQueryClient } from "@tanstack/react-query";
import {
  type CheckLedgerResponse,
  type GetStatusResponse,
  type Invariant,
  CheckLedgerRequest_Scope as Scope,
} from "internaltransfers-client";
import { type ReactNode, useState } from "react";
import { sentence } from "../../lib/errors";
import { clients } from "../../lib/rpc";
import { plural } from "../../lib/time";
import { Badge, Button, Card, Dialog, ErrorNotice, Notice, Skeleton, Time } from "../../ui";
import styles from "./overview.module.css";
import { useStatus } from "./status";

/** Whether the ledger's invariants hold, when that was proved, and a button to prove it now. */
export function Proof() {
  const status = useStatus();
  const [open, setOpen] = useState(false);
  const queries = useQueryClient();
  const proof = useMutation({
    mutationFn: (scope: Scope) => clients.ledger.checkLedger({ scope }),
    onSettled: () => queries.invalidateQueries(),
  });
  const prove = (scope: Scope) => {
    setOpen(true);
    proof.mutate(scope);
  };
  return (
    <Card
      title="Invariants"
      actions={
        <Button
          small
          icon="shield"
          needs="ledger.check"
          busy={proof.isPending}
          onClick={() => prove(Scope.INCREMENTAL)}
        >
          Prove now
        </Button>
      }
    >
      {status.data ? (
        <LastProof status={status.data} />
      ) : status.error ? (
        <ErrorNotice error={status.error} />
      ) : (
        <Skeleton lines={2} />
      )}
      <Dialog
        open={open}
        onClose={() => setOpen(false)}
        title="Proof of the ledger"
        lead="Every invariant is proved from the rows themselves, from one snapshot, while transfers go on."
      >
        <div className="stack">
          {proof.isPending && <Running scope={proof.variables} />}
          {proof.error && <ErrorNotice error={proof.error} />}
          {!proof.isPending && (
            <div className={styles.again}>
              <Button onClick={() => prove(Scope.INCREMENTAL)}>Prove what changed</Button>
              <Button onClick={() => prove(Scope.FULL)}>Prove everything</Button>
            </div>
          )}
          {proof.data && !proof.isPending && <Result result={proof.data} />}
        </div>
      </Dialog>
    </Card>
  );
}

function Running({ scope }: { scope: Scope | undefined }) {
  return (
    <div role="status">
      <p className="muted">
        {scope === Scope.FULL
          ? "Proving everything. A large ledger takes a minute or more; it goes on when this window is closed."
          : "Proving what changed since the last proof."}
      </p>
      <Skeleton lines={6} />
    </div>
  );
}

function LastProof({ status }: { status: GetStatusResponse }) {
  if (!status.checkTime) {
    return <State tone="neutral" text="Not proved yet" note="Nobody has proved this ledger so far." />;
  }
  const note = (
    <>
      Last proof <Time value={status.checkTime} as="relative" />
      {status.checkIncremental ? ", of what had changed" : ", of everything"}
    </>
  );
  if (!status.checkOk) {
    return (
      <State tone="bad" text={`${plural(status.brokenInvariants.length, "invariant")} broken`} note={note}>
        <ul className={styles.broken}>
          {status.brokenInvariants.map((name) => (
            <li key={name}>{sentence(name)}</li>
          ))}
        </ul>
      </State>
    );
  }
  return <State tone="good" text="All invariants hold" note={note} />;
}

function State({
  tone,
  text,
  note,
  children,
}: {
  tone: "good" | "bad" | "neutral";
  text: string;
  note: ReactNode;
  children?: ReactNode;
}) {
  return (
    <div>
      <p className={styles.proof}>
        <Badge tone={tone} icon={tone === "bad" ? "alert" : "shield"}>
          {text}
        </Badge>
      </p>
      <p className="muted">{note}</p>
      {children}
    </div>
  );
}

function Result({ result }: { result: CheckLedgerResponse }) {
  const broken = result.invariants.filter((invariant) => !invariant.ok).length;
  return (
    <div className="stack" role="status">
      <Notice
        tone={result.ok ? "good" : "bad"}
        title={
          result.ok
            ? `All ${result.invariants.length} invariants hold`
            : `${plural(broken, "invariant")} broken`
        }
      >
        <p>
          Proved on the state of <Time value={result.checkTime} />
          {result.checkpointTime && (
            <>
              , going on from the proof of <Time value={result.checkpointTime} />
            </>
          )}
          .
        </p>
      </Notice>
      <ul className={styles.invariants}>
        {result.invariants.map((invariant) => (
          <InvariantLine key={invariant.name} invariant={invariant} />
        ))}
      </ul>
    </div>
  );
}

function InvariantLine({ invariant }: { invariant: Invariant }) {
  return (
    <li>
      <Badge tone={invariant.ok ? "good" : "bad"}>{invariant.ok ? "Holds" : "Broken"}</Badge>
      <div>
        <p className={styles.description}>{invariant.description}.</p>
        <p className="muted num">
          <code>{invariant.name}</code> · {plural(invariant.examined, "row")} examined
          {!invariant.ok && `, ${plural(invariant.violationCount, "row")} break it`}
        </p>
        {invariant.violations.map((violation) => (
          <p key={violation} className={styles.violation}>
            {violation}
          </p>
        ))}
      </div>
    </li>
  );
}
