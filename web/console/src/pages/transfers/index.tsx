import { type ReactNode, useEffect, useRef, useState } from "react";
import { exactTime } from "../../lib/time";
import { useUrlState } from "../../lib/url";
import { TailStatus } from "../../parts/tail-status";
import { transferColumns } from "../../parts/transfer-columns";
import { Button, ButtonLink, type Column, ErrorNotice, Icon, PageHeader, Table } from "../../ui";
import { TransferFilters } from "./filter-bar";
import { type Filters, isFamily, noFilters } from "./filters";
import { nextMicrosecond, type Row, type Snapshot } from "./list";
import styles from "./transfers.module.css";
import { useTransferList } from "./use-list";

/** The rows to which a list may grow by reading on. To see older ones the list begins there. */
const rowsMax = 500;

const columns: Column<Row>[] = transferColumns<Row>((row) => row.transfer).map((column) => ({
  ...column,
  cell: once(column.cell),
}));

/** Draws each row's cell once: at thousands of new rows a second the others should cost nothing. */
function once(cell: (row: Row) => ReactNode): (row: Row) => ReactNode {
  const drawn = new WeakMap<Row, ReactNode>();
  return (row) => {
    if (!drawn.has(row)) drawn.set(row, cell(row));
    return drawn.get(row);
  };
}

/** All transfers, by what they are filtered by, as they happen. */
export function Transfers() {
  const [filters, setFilters] = useUrlState<Filters>(noFilters);
  const [paused, setPaused] = useState(false);
  const top = useRef<HTMLDivElement>(null);
  const away = useScrolledPast(top);
  const { snapshot, state, readOlder, retry } = useTransferList(filters, paused || away);
  const filtered = Object.values(filters).some((value) => value !== "");

  const showNew = () => {
    setPaused(false);
    top.current?.scrollIntoView({ block: "end" });
  };

  return (
    <>
      <PageHeader
        title="Transfers"
        lead="Everything that moved money, will, or was refused, newest first."
        actions={
          <ButtonLink href="/new-transfer" kind="primary" icon="plus" needs="transfers.create">
            New transfer
          </ButtonLink>
        }
      />
      <TransferFilters filters={filters} onChange={setFilters} />
      <div ref={top} className={styles.bar}>
        <TailStatus state={state} paused={paused} />
        {state && (
          <Button small kind="quiet" icon={paused ? "play" : "pause"} onClick={() => setPaused(!paused)}>
            {paused ? "Resume" : "Pause"}
          </Button>
        )}
      </div>
      <div className={styles.pillRow}>
        {snapshot.waiting > 0 && (
          <button type="button" className={styles.pill} onClick={showNew}>
            <Icon name="right" size={14} />
            {paused ? "Paused: " : ""}
            {snapshot.waiting.toLocaleString("en-US")} new
          </button>
        )}
      </div>
      <Table<Row>
        label="Transfers"
        columns={columns}
        rows={snapshot.rows as Row[]}
        rowKey={(row) => row.transfer.transferId}
        rowClass={(row) => (row.live ? "new" : undefined)}
        loading={snapshot.phase === "loading"}
        error={snapshot.phase === "failed" ? snapshot.error : undefined}
        onRetry={retry}
        empty={
          filtered
            ? "No transfer is like that. What comes appears here by itself."
            : "There are no transfers yet. What comes appears here by itself."
        }
        emptyAction={
          filtered ? (
            <Button onClick={() => setFilters(noFilters)}>Clear filters</Button>
          ) : (
            <ButtonLink href="/new-transfer" needs="transfers.create">
              Make the first one
            </ButtonLink>
          )
        }
        more={
          snapshot.older === "none"
            ? undefined
            : {
                loading: snapshot.older === "loading",
                onMore: () => older(filters, snapshot, setFilters, readOlder),
              }
        }
      />
      {snapshot.phase === "ready" && snapshot.error && <ErrorNotice error={snapshot.error} onRetry={retry} />}
    </>
  );
}

/** Reads on, or lets the list begin where it ends now, so that the page does not grow without end. */
function older(
  filters: Filters,
  snapshot: Snapshot,
  setFilters: (patch: Partial<Filters>) => void,
  readOlder: () => void,
) {
  const last = snapshot.rows[snapshot.rows.length - 1]?.transfer.createTime;
  if (snapshot.rows.length < rowsMax || isFamily(filters) || !last) readOlder();
  else {
    setFilters({ to: exactTime(nextMicrosecond(last)) });
    scrollTo(0, 0);
  }
}

/** Whether the reader has scrolled down, past the element. */
function useScrolledPast(ref: React.RefObject<HTMLElement | null>): boolean {
  const [past, setPast] = useState(false);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry) setPast(!entry.isIntersecting && entry.boundingClientRect.top < 0);
    });
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [ref]);
  return past;
}
