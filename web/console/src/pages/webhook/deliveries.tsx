import { useInfiniteQuery, useMutation } from "@connectrpc/connect-query";
import { keepPreviousData, useMutation as useLongMutation, useQueryClient } from "@tanstack/react-query";
import {
  type WebhookDelivery,
  WebhookDelivery_Status,
  type WebhookEndpoint,
  WebhookEndpoint_Status,
  WebhookService,
} from "internaltransfers-client";
import { useState } from "react";
import { clients } from "../../lib/rpc";
import { plural, toDate } from "../../lib/time";
import { useUrlState } from "../../lib/url";
import { Refused } from "../../parts/refused";
import {
  Button,
  type Column,
  Dialog,
  FieldRow,
  Form,
  FormActions,
  Nothing,
  Section,
  Segments,
  Table,
  TextField,
  Time,
  tableState,
  toast,
} from "../../ui";
import { DeliveryBadge } from "../webhooks/status";

const statuses = [
  { value: "", label: "All" },
  { value: "PENDING", label: "Pending" },
  { value: "DEAD", label: "Dead" },
  { value: "DELIVERED", label: "Delivered later" },
] as const;

const empty: Record<string, string> = {
  "": "Every delivery succeeded at the first attempt.",
  PENDING: "Nothing waits to be delivered.",
  DEAD: "Nothing is dead.",
  DELIVERED: "Nothing had to be tried again.",
};

/** How often to look how deliveries go, in milliseconds. */
const interval = 5_000;

/** What it takes to deliver again. */
const redeliverNeeds = ["webhooks.write", "events.read"] as const;

/** The deliveries that did not succeed at the first attempt. */
export function Deliveries({ endpoint }: { endpoint: WebhookEndpoint }) {
  const [state, setState] = useUrlState<{ status: string }>({ status: "" });
  const [ranging, setRanging] = useState(false);
  const queries = useQueryClient();
  const { endpointId } = endpoint;
  const deleted = endpoint.status === WebhookEndpoint_Status.DELETED;
  const query = useInfiniteQuery(
    WebhookService.method.listWebhookDeliveries,
    {
      endpointId,
      status: WebhookDelivery_Status[state.status as keyof typeof WebhookDelivery_Status] ?? 0,
      pageToken: "",
    },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      placeholderData: keepPreviousData,
      refetchInterval: (query) => (query.state.error ? false : interval),
    },
  );
  const redeliver = useMutation(WebhookService.method.redeliverWebhookEvents, {
    onSuccess: () => toast("The event is delivered again."),
    onSettled: () => void queries.invalidateQueries(),
  });
  const columns: Column<WebhookDelivery>[] = [
    {
      id: "event",
      header: "Event",
      primary: true,
      fit: true,
      cell: (d) => <span className="num">{d.cursor}</span>,
    },
    { id: "status", header: "Status", fit: true, cell: (d) => <DeliveryBadge delivery={d} /> },
    {
      id: "attempts",
      header: "Attempts",
      align: "end",
      fit: true,
      cell: (d) => <span className="num">{d.attempts}</span>,
    },
    {
      id: "last",
      header: "Last attempt",
      fit: true,
      cell: (d) => <Time value={d.lastAttemptTime} as="relative" />,
    },
    { id: "next", header: "Next attempt", fit: true, cell: (d) => <Next delivery={d} endpoint={endpoint} /> },
    { id: "failure", header: "Failure", cell: (d) => d.lastFailure || <Nothing /> },
    {
      id: "again",
      header: "Again",
      align: "end",
      fit: true,
      cell: (d) =>
        !deleted && (
          <Button
            small
            icon="refresh"
            needs={redeliverNeeds}
            aria-label={`Deliver event ${d.cursor} again`}
            busy={redeliver.isPending && redeliver.variables?.firstCursor === d.cursor}
            onClick={() => redeliver.mutate({ endpointId, firstCursor: d.cursor })}
          />
        ),
    },
  ];
  return (
    <Section
      title="Deliveries that needed more than one attempt"
      actions={
        !deleted && (
          <Button small needs={redeliverNeeds} onClick={() => setRanging(true)}>
            Deliver a range again
          </Button>
        )
      }
    >
      <div className="stack">
        <div>
          <Segments
            label="Status of deliveries"
            value={state.status}
            options={statuses}
            onChange={(status) => setState({ status })}
          />
        </div>
        <Refused error={redeliver.error} />
        <Table<WebhookDelivery>
          label="Deliveries"
          columns={columns}
          rows={query.data?.pages.flatMap((page) => page.deliveries)}
          rowKey={(d) => d.cursor}
          empty={empty[state.status] ?? "Nothing."}
          skeletonRows={3}
          {...tableState(query)}
        />
      </div>
      {ranging && <RangeDialog endpoint={endpoint} onClose={() => setRanging(false)} />}
    </Section>
  );
}

function Next({ delivery: d, endpoint: e }: { delivery: WebhookDelivery; endpoint: WebhookEndpoint }) {
  if (d.status !== WebhookDelivery_Status.PENDING || e.status === WebhookEndpoint_Status.DELETED)
    return <Nothing />;
  if (!d.nextAttemptTime) return <span className="muted">After an earlier one</span>;
  if (e.status === WebhookEndpoint_Status.DISABLED) return <span className="muted">When it is enabled</span>;
  if (toDate(d.nextAttemptTime).getTime() <= Date.now()) return <span className="muted">Now</span>;
  return <Time value={d.nextAttemptTime} as="relative" />;
}

/** Delivers all events of a range again, a thousand at a time. */
function RangeDialog({ endpoint, onClose }: { endpoint: WebhookEndpoint; onClose: () => void }) {
  const [first, setFirst] = useState("");
  const [last, setLast] = useState(endpoint.cursor);
  const [submitted, setSubmitted] = useState(false);
  const queries = useQueryClient();
  const run = useLongMutation({
    mutationFn: async () => {
      let total = 0;
      let next = first;
      while (next) {
        const answer = await clients.webhooks.redeliverWebhookEvents({
          endpointId: endpoint.endpointId,
          firstCursor: next,
          lastCursor: last,
        });
        total += answer.count;
        next = answer.nextCursor;
      }
      return total;
    },
    onSuccess: (total) => {
      toast(`${plural(total, "event")} delivered again.`);
      onClose();
    },
    onSettled: () => void queries.invalidateQueries(),
  });
  const problem = (text: string) =>
    submitted && !/^[0-9]{1,18}$/.test(text) ? "Enter the number of an event." : undefined;
  return (
    <Dialog
      open
      onClose={onClose}
      title="Deliver a range again"
      lead="All events from the first to the last that pass the endpoint's filter, whether they were delivered before or not. Receivers tell repetitions by the webhook-id."
    >
      <Form
        onSubmit={() => {
          setSubmitted(true);
          if (/^[0-9]{1,18}$/.test(first) && /^[0-9]{1,18}$/.test(last) && !run.isPending) run.mutate();
        }}
      >
        <FieldRow>
          <TextField
            label="First event"
            numeric
            inputMode="numeric"
            error={problem(first)}
            value={first}
            onChange={(text) => setFirst(text.trim())}
          />
          <TextField
            label="Last event"
            numeric
            inputMode="numeric"
            error={problem(last)}
            value={last}
            onChange={(text) => setLast(text.trim())}
          />
        </FieldRow>
        <Refused error={run.error} />
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" busy={run.isPending}>
            Deliver again
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}
