import { useInfiniteQuery } from "@connectrpc/connect-query";
import { keepPreviousData } from "@tanstack/react-query";
import { type Schedule, Schedule_Status, ScheduleService } from "internaltransfers-client";
import { isUUID, useUrlState } from "../../lib/url";
import { AccountName } from "../../parts/account-name";
import {
  AccountField,
  Amount,
  Button,
  type Column,
  FilterBar,
  Nothing,
  PageHeader,
  SelectField,
  Table,
  Time,
  tableState,
} from "../../ui";
import { ScheduleBadge } from "./badge";
import { CreateSchedule } from "./create";
import { ScheduleDialog } from "./detail";
import styles from "./schedules.module.css";
import { recurrenceText } from "./words";

const statuses = [
  { value: "", label: "Any status" },
  { value: "ACTIVE", label: "Active" },
  { value: "PAUSED", label: "Paused" },
  { value: "ENDED", label: "Ended" },
  { value: "DELETED", label: "Deleted" },
];

/** How often to look for occurrences that were made, in milliseconds. */
const interval = 10_000;

/** The schedules. The one that is open, and the form of a new one, are in the address. */
export function Schedules() {
  const [state, setState] = useUrlState({ account: "", status: "", schedule: "", new: "" });
  const query = useInfiniteQuery(
    ScheduleService.method.listSchedules,
    {
      accountId: isUUID(state.account) ? state.account : "",
      status: Schedule_Status[state.status as keyof typeof Schedule_Status] ?? 0,
      pageToken: "",
    },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      placeholderData: keepPreviousData,
      refetchInterval: interval,
    },
  );
  const filtered = state.account !== "" || state.status !== "";
  const columns: Column<Schedule>[] = [
    {
      id: "when",
      header: "Repeats",
      primary: true,
      cell: (s) => (
        <button type="button" className={styles.open} onClick={() => setState({ schedule: s.scheduleId })}>
          {recurrenceText(s)}
        </button>
      ),
    },
    { id: "from", header: "From", cell: (s) => <AccountName id={s.fromAccountId} /> },
    { id: "to", header: "To", cell: (s) => <AccountName id={s.toAccountId} /> },
    { id: "status", header: "Status", fit: true, cell: (s) => <ScheduleBadge status={s.status} /> },
    {
      id: "next",
      header: "Next",
      fit: true,
      cell: (s) => (s.nextTime ? <Time value={s.nextTime} /> : <Nothing />),
    },
    {
      id: "made",
      header: "Made",
      align: "end",
      fit: true,
      hide: "narrow",
      cell: (s) => (
        <span className="num">
          {s.maxCount ? `${s.occurrenceCount} of ${s.maxCount}` : String(s.occurrenceCount)}
        </span>
      ),
    },
    {
      id: "amount",
      header: "Amount",
      align: "end",
      fit: true,
      cell: (s) => <Amount value={s.amount} currency={s.currency} strong />,
    },
  ];
  return (
    <>
      <PageHeader
        title="Schedules"
        lead="Transfers that happen again and again. Each occurrence is made exactly once."
        actions={
          <Button
            kind="primary"
            icon="plus"
            needs={["schedules.write", "transfers.create"]}
            onClick={() => setState({ new: "1" })}
          >
            New schedule
          </Button>
        }
      />
      <FilterBar>
        <AccountField
          label="Account"
          placeholder="Any account"
          value={state.account}
          onChange={(account) => setState({ account })}
        />
        <SelectField
          label="Status"
          value={state.status}
          options={statuses}
          onChange={(status) => setState({ status })}
        />
      </FilterBar>
      <Table<Schedule>
        label="Schedules"
        columns={columns}
        rows={query.data?.pages.flatMap((page) => page.schedules)}
        rowKey={(s) => s.scheduleId}
        empty={filtered ? "No schedule is like that." : "There are no schedules yet."}
        emptyAction={
          filtered ? (
            <Button onClick={() => setState({ account: "", status: "" })}>Clear filters</Button>
          ) : undefined
        }
        {...tableState(query)}
      />
      {state.new && (
        <CreateSchedule
          onClose={() => setState({ new: "" })}
          onDone={(id) => setState({ new: "", schedule: id })}
        />
      )}
      {state.schedule && <ScheduleDialog id={state.schedule} onClose={() => setState({ schedule: "" })} />}
    </>
  );
}
