import { useMutation, useQuery } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { type Schedule, Schedule_CatchUp, Schedule_Status, ScheduleService } from "internaltransfers-client";
import { useState } from "react";
import { AccountName } from "../../parts/account-name";
import { Refused } from "../../parts/refused";
import {
  Amount,
  Button,
  ButtonLink,
  Details,
  Dialog,
  ErrorNotice,
  FormActions,
  IdText,
  Notice,
  Skeleton,
  Time,
  toast,
} from "../../ui";
import { ScheduleBadge } from "./badge";
import { catchUpWords, recurrenceText } from "./words";

/** One schedule, with what can be done about it. */
export function ScheduleDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const query = useQuery(ScheduleService.method.getSchedule, { scheduleId: id });
  const s = query.data?.schedule;
  return (
    <Dialog open onClose={onClose} title={s ? recurrenceText(s) : "Schedule"}>
      <div className="stack">
        {s ? (
          <Loaded s={s} />
        ) : query.error ? (
          <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />
        ) : (
          <Skeleton lines={6} />
        )}
      </div>
    </Dialog>
  );
}

function Loaded({ s }: { s: Schedule }) {
  const [deleting, setDeleting] = useState(false);
  const queries = useQueryClient();
  const done = (text: string) => ({
    onSuccess: () => {
      toast(text);
      setDeleting(false);
    },
    onSettled: () => void queries.invalidateQueries(),
  });
  const pause = useMutation(ScheduleService.method.pauseSchedule, done("The schedule is paused."));
  const resume = useMutation(ScheduleService.method.resumeSchedule, done("The schedule goes on."));
  const remove = useMutation(ScheduleService.method.deleteSchedule, done("The schedule is deleted."));
  const busy = pause.isPending || resume.isPending || remove.isPending;
  const call = { scheduleId: s.scheduleId };
  const open = s.status === Schedule_Status.ACTIVE || s.status === Schedule_Status.PAUSED;
  return (
    <>
      <Details
        items={[
          ["Status", <ScheduleBadge key="status" status={s.status} />],
          ["Amount", <Amount key="amount" value={s.amount} currency={s.currency} strong />],
          ["From", <AccountName key="from" id={s.fromAccountId} />],
          ["To", <AccountName key="to" id={s.toAccountId} />],
          s.recurrence.case === "cron" && ["Cron", <code key="cron">{s.recurrence.value}</code>],
          s.timeZone !== "" && ["Time zone", s.timeZone],
          ["Next", s.nextTime ? <Time key="next" value={s.nextTime} /> : "None to come"],
          ["Begins", <Time key="start" value={s.startTime} />],
          s.endTime && ["Ends", <Time key="end" value={s.endTime} />],
          ["Made so far", s.maxCount ? `${s.occurrenceCount} of ${s.maxCount}` : String(s.occurrenceCount)],
          [
            "Missed ones",
            catchUpWords[(Schedule_CatchUp[s.catchUp] ?? "ALL") as keyof typeof catchUpWords] ??
              catchUpWords.ALL,
          ],
          s.lastTransferId !== "" && [
            "Last transfer",
            <IdText
              key="last"
              id={s.lastTransferId}
              href={`/transfers/${s.lastTransferId}`}
              label="transfer id"
            />,
          ],
          ["Reference", s.reference],
          ...Object.entries(s.metadata).map(([name, value]) => [name, value] as const),
          ["Created", <Time key="created" value={s.createTime} />],
          ["Id", <IdText key="id" id={s.scheduleId} label="schedule id" />],
        ]}
      />
      <Refused error={pause.error ?? resume.error ?? remove.error} />
      {deleting && (
        <Notice tone="warn" title="Delete it for good?">
          <p>No more transfers are made. What was made stays, and the schedule can still be looked up.</p>
        </Notice>
      )}
      <FormActions>
        {deleting ? (
          <>
            <Button onClick={() => setDeleting(false)}>Keep it</Button>
            <Button kind="danger" busy={remove.isPending} onClick={() => remove.mutate(call)}>
              Delete schedule
            </Button>
          </>
        ) : (
          <>
            <ButtonLink href={`/transfers?reference=${encodeURIComponent(s.reference)}`}>
              Its transfers
            </ButtonLink>
            {s.status === Schedule_Status.ACTIVE && (
              <Button
                icon="pause"
                needs="schedules.write"
                busy={pause.isPending}
                onClick={() => busy || pause.mutate(call)}
              >
                Pause
              </Button>
            )}
            {s.status === Schedule_Status.PAUSED && (
              <Button
                icon="play"
                needs="schedules.write"
                busy={resume.isPending}
                onClick={() => busy || resume.mutate(call)}
              >
                Resume
              </Button>
            )}
            {open && (
              <Button kind="danger" needs="schedules.write" onClick={() => setDeleting(true)}>
                Delete
              </Button>
            )}
          </>
        )}
      </FormActions>
    </>
  );
}
