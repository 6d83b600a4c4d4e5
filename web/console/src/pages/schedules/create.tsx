import { useMutation } from "@connectrpc/connect-query";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type CreateScheduleRequest, newTransferId, ScheduleService } from "internaltransfers-client";
import { useDeferredValue, useState } from "react";
import { describeError } from "../../lib/errors";
import { clients } from "../../lib/rpc";
import { exactTime } from "../../lib/time";
import { PayFields, usePayment } from "../../parts/pay-fields";
import { Refused } from "../../parts/refused";
import {
  Button,
  Dialog,
  FieldRow,
  Form,
  FormActions,
  Notice,
  SelectField,
  Skeleton,
  TextField,
  Time,
  toast,
} from "../../ui";
import {
  cronOf,
  type Draft,
  emptyDraft,
  type IntervalUnit,
  type Repeat,
  requestOf,
  whenProblems,
} from "./draft";
import { nextOccurrences } from "./occurrences";
import styles from "./schedules.module.css";
import { catchUpWords, weekdays } from "./words";

const repeats: { value: Repeat; label: string }[] = [
  { value: "daily", label: "Every day" },
  { value: "weekly", label: "Every week" },
  { value: "monthly", label: "Every month" },
  { value: "interval", label: "At an interval" },
  { value: "cron", label: "By cron expression" },
];

const units: { value: IntervalUnit; label: string }[] = [
  { value: "seconds", label: "seconds" },
  { value: "minutes", label: "minutes" },
  { value: "hours", label: "hours" },
  { value: "days", label: "days" },
];

const monthdays = [
  ...Array.from({ length: 31 }, (_, i) => ({ value: String(i + 1), label: String(i + 1) })),
  { value: "L", label: "the last" },
];

/** The form of a new schedule. Its id is made once, so that trying again makes it once. */
export function CreateSchedule({ onClose, onDone }: { onClose: () => void; onDone: (id: string) => void }) {
  const [id] = useState(newTransferId);
  const [draft, setDraft] = useState(emptyDraft);
  const [submitted, setSubmitted] = useState(false);
  const change = (patch: Partial<Draft>) => setDraft((old) => ({ ...old, ...patch }));
  const checked = usePayment(draft);
  const problems = whenProblems(draft);
  const sound = checked.ready && checked.amount.ok && Object.keys(problems).length === 0;
  const request = sound && checked.amount.ok ? requestOf(draft, checked.amount.value) : undefined;
  const queries = useQueryClient();
  const make = useMutation(ScheduleService.method.createSchedule, {
    onSuccess: () => {
      toast("The schedule is made.");
      void queries.invalidateQueries();
      onDone(id);
    },
  });
  const errors = { ...(make.error ? describeError(make.error).fields : {}), ...(submitted ? problems : {}) };
  return (
    <Dialog
      open
      onClose={onClose}
      title="New schedule"
      lead="The same transfer, again and again. Each occurrence that the ledger refuses counts, and the next one is tried as if nothing had been."
    >
      <Form
        onSubmit={() => {
          setSubmitted(true);
          if (request && !make.isPending) make.mutate({ ...request, scheduleId: id });
        }}
      >
        <PayFields
          payment={draft}
          checked={checked}
          errors={errors}
          submitted={submitted}
          onChange={change}
        />
        <When draft={draft} errors={errors} change={change} />
        <FieldRow>
          <TextField
            type="datetime-local"
            step={1}
            label="Not before"
            optional
            error={errors.start_time}
            value={draft.start}
            onChange={(start) => change({ start })}
          />
          <TextField
            type="datetime-local"
            step={1}
            label="Until"
            optional
            error={errors.end_time}
            value={draft.end}
            onChange={(end) => change({ end })}
          />
          <TextField
            label="At most"
            optional
            inputMode="numeric"
            suffix="times"
            error={errors.max_count}
            value={draft.count}
            onChange={(count) => change({ count })}
          />
        </FieldRow>
        <FieldRow>
          <SelectField
            label="Occurrences that were missed"
            value={draft.catchUp}
            options={Object.entries(catchUpWords).map(([value, label]) => ({
              value: value as Draft["catchUp"],
              label,
            }))}
            onChange={(catchUp) => change({ catchUp })}
          />
          <TextField
            label="Reference"
            optional
            maxLength={200}
            placeholder="The schedule's id"
            value={draft.reference}
            onChange={(reference) => change({ reference })}
          />
        </FieldRow>
        <Preview request={request} />
        <Refused error={make.error} />
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            type="submit"
            kind="primary"
            needs={["schedules.write", "transfers.create"]}
            busy={make.isPending}
          >
            Make schedule
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}

function When({
  draft,
  errors,
  change,
}: {
  draft: Draft;
  errors: Record<string, string>;
  change: (patch: Partial<Draft>) => void;
}) {
  const clock = draft.repeat === "daily" || draft.repeat === "weekly" || draft.repeat === "monthly";
  return (
    <FieldRow>
      <SelectField
        label="Repeats"
        value={draft.repeat}
        options={repeats}
        onChange={(repeat) =>
          change(repeat === "cron" && draft.cron === "" ? { repeat, cron: cronOf(draft) } : { repeat })
        }
      />
      {draft.repeat === "weekly" && (
        <SelectField
          label="On"
          value={draft.weekday}
          options={[1, 2, 3, 4, 5, 6, 0].map((day) => ({ value: String(day), label: weekdays[day] ?? "" }))}
          onChange={(weekday) => change({ weekday })}
        />
      )}
      {draft.repeat === "monthly" && (
        <SelectField
          label="On day"
          hint={Number(draft.monthday) > 28 ? "Months without this day are left out." : undefined}
          value={draft.monthday}
          options={monthdays}
          onChange={(monthday) => change({ monthday })}
        />
      )}
      {clock && (
        <TextField
          type="time"
          label="At"
          error={errors.cron}
          value={draft.time}
          onChange={(time) => change({ time })}
        />
      )}
      {draft.repeat === "cron" && (
        <TextField
          label="Cron expression"
          mono
          placeholder="0 9 1 * *"
          hint="Minute, hour, day of month (L: the last, LW: the last Monday to Friday, 15W: the one nearest to the 15th), month, day of week (FRIL: the last Friday, FRI#2: the second)."
          error={errors.cron}
          value={draft.cron}
          onChange={(cron) => change({ cron })}
        />
      )}
      {draft.repeat === "interval" ? (
        <>
          <TextField
            label="Every"
            inputMode="numeric"
            error={errors.interval}
            value={draft.every}
            onChange={(every) => change({ every })}
          />
          <SelectField
            label="Unit"
            value={draft.unit}
            options={units}
            onChange={(unit) => change({ unit })}
          />
        </>
      ) : (
        <TextField
          label="Time zone"
          error={errors.time_zone}
          placeholder="UTC"
          value={draft.zone}
          onChange={(zone) => change({ zone })}
        />
      )}
    </FieldRow>
  );
}

/** The next occurrences of what is typed. */
function Preview({ request }: { request: CreateScheduleRequest | undefined }) {
  const settled = useDeferredValue(request);
  const key =
    settled &&
    JSON.stringify(settled, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
  const query = useQuery({
    queryKey: ["occurrences", key],
    queryFn: ({ signal }) =>
      nextOccurrences(
        settled as CreateScheduleRequest,
        async (attempt, signal) => {
          const { schedule } = await clients.schedules.createSchedule(
            { ...attempt, validateOnly: true },
            { signal },
          );
          return schedule;
        },
        signal,
      ),
    enabled: settled !== undefined,
    retry: false,
  });
  return (
    <div className={styles.preview} aria-live="polite" aria-busy={query.isFetching}>
      <h3>Next occurrences</h3>
      {!settled ? (
        <p className="muted">
          Choose both accounts, an amount and when, and the ledger says here when it happens.
        </p>
      ) : query.error ? (
        <Problem error={query.error} />
      ) : query.data ? (
        <ol className={styles.times}>
          {query.data.map((time) => (
            <li key={exactTime(time)}>
              <Time value={time} />
            </li>
          ))}
        </ol>
      ) : (
        <Skeleton lines={4} />
      )}
    </div>
  );
}

function Problem({ error }: { error: unknown }) {
  const fields = Object.values(describeError(error).fields);
  if (fields.length === 0) return <Refused error={error} />;
  return (
    <Notice tone="warn" title="Not yet">
      {fields.map((text) => (
        <p key={text}>{text.charAt(0).toUpperCase() + text.slice(1)}.</p>
      ))}
    </Notice>
  );
}
