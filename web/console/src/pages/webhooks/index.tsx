import { useInfiniteQuery, useMutation } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { newTransferId, type WebhookEndpoint, WebhookService } from "internaltransfers-client";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { describeError } from "../../lib/errors";
import { useUrlState } from "../../lib/url";
import { Refused } from "../../parts/refused";
import {
  Button,
  type Column,
  Count,
  Dialog,
  Form,
  FormActions,
  Nothing,
  PageHeader,
  Table,
  Time,
  tableState,
} from "../../ui";
import { type Draft, emptyDraft, filterOf, urlProblem } from "./draft";
import { EndpointFields } from "./endpoint-fields";
import { EndpointSecret } from "./secret";
import { EndpointBadge } from "./status";
import styles from "./webhooks.module.css";

/** How often to look how deliveries go, in milliseconds. */
const interval = 5_000;

const columns: Column<WebhookEndpoint>[] = [
  {
    id: "url",
    header: "Address",
    primary: true,
    cell: (e) => (
      <Link href={`/webhooks/${e.endpointId}`} className={styles.url}>
        {e.url}
      </Link>
    ),
  },
  { id: "description", header: "For", hide: "narrow", cell: (e) => e.description || <Nothing /> },
  { id: "status", header: "Status", fit: true, cell: (e) => <EndpointBadge endpoint={e} /> },
  {
    id: "pending",
    header: "Pending",
    align: "end",
    fit: true,
    cell: (e) => <Count value={e.pendingCount} />,
  },
  { id: "dead", header: "Dead", align: "end", fit: true, cell: (e) => <Count value={e.deadCount} /> },
  {
    id: "success",
    header: "Last success",
    fit: true,
    cell: (e) => <Time value={e.lastSuccessTime} as="relative" />,
  },
];

/** The endpoints to which events are posted. The form of a new one is in the address. */
export function Webhooks() {
  const [state, setState] = useUrlState({ new: "" });
  const query = useInfiniteQuery(
    WebhookService.method.listWebhookEndpoints,
    { pageToken: "" },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      refetchInterval: (query) => (query.state.error ? false : interval),
    },
  );
  return (
    <>
      <PageHeader
        title="Webhooks"
        lead="Endpoints to which the ledger posts what happens: at least once, in order along each account, signed."
        actions={
          <Button
            kind="primary"
            icon="plus"
            needs={["webhooks.write", "events.read"]}
            onClick={() => setState({ new: "1" })}
          >
            New endpoint
          </Button>
        }
      />
      <Table<WebhookEndpoint>
        label="Webhook endpoints"
        columns={columns}
        rows={query.data?.pages.flatMap((page) => page.endpoints)}
        rowKey={(e) => e.endpointId}
        empty="There are no endpoints yet. Events from the moment one is made are delivered to it."
        emptyAction={
          <Button needs={["webhooks.write", "events.read"]} onClick={() => setState({ new: "1" })}>
            Make the first one
          </Button>
        }
        skeletonRows={3}
        {...tableState(query)}
      />
      {state.new && <CreateEndpoint onClose={() => setState({ new: "" })} />}
    </>
  );
}

/** The form of a new endpoint, then its secret. Its id is made once, so that trying again makes it once. */
function CreateEndpoint({ onClose }: { onClose: () => void }) {
  const [endpointId] = useState(newTransferId);
  const [draft, setDraft] = useState<Draft>(emptyDraft);
  const [submitted, setSubmitted] = useState(false);
  const [, navigate] = useLocation();
  const queries = useQueryClient();
  const make = useMutation(WebhookService.method.createWebhookEndpoint, {
    onSuccess: () => void queries.invalidateQueries(),
    // The secret is for the eyes of who made it: nothing else keeps it.
    gcTime: 0,
  });
  if (make.data)
    return (
      <EndpointSecret
        secret={make.data.secret}
        onClose={() => navigate(`/webhooks/${endpointId}`, { replace: true })}
      />
    );
  return (
    <Dialog open onClose={onClose} title="New endpoint" lead="Events from now on are posted to it.">
      <Form
        onSubmit={() => {
          setSubmitted(true);
          if (urlProblem(draft.url) || make.isPending) return;
          make.mutate({
            endpointId,
            url: draft.url.trim(),
            description: draft.description.trim(),
            filter: filterOf(draft),
          });
        }}
      >
        <EndpointFields
          draft={draft}
          errors={make.error ? describeError(make.error).fields : {}}
          submitted={submitted}
          onChange={(patch) => setDraft({ ...draft, ...patch })}
        />
        <Refused error={make.error} />
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button
            type="submit"
            kind="primary"
            needs={["webhooks.write", "events.read"]}
            busy={make.isPending}
          >
            Make endpoint
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}
