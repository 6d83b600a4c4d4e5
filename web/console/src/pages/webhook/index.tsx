import { Code } from "@connectrpc/connect";
import { useMutation, useQuery } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import {
  Event_Type,
  Transfer_Status,
  type WebhookEndpoint,
  WebhookEndpoint_Status,
  WebhookService,
} from "internaltransfers-client";
import { useState } from "react";
import { AccountName } from "../../parts/account-name";
import { Refused } from "../../parts/refused";
import {
  Button,
  ButtonLink,
  Card,
  Columns,
  Count,
  Details,
  EmptyState,
  ErrorNotice,
  Figure,
  Figures,
  IdText,
  Notice,
  PageHeader,
  Skeleton,
  Time,
  toast,
} from "../../ui";
import { draftOf, filterOf, type StatusName, statusWords, type TypeName, typeWords } from "../webhooks/draft";
import { EndpointSecret } from "../webhooks/secret";
import { EndpointBadge } from "../webhooks/status";
import { Deliveries } from "./deliveries";
import { DeleteDialog, EditDialog, RotateDialog } from "./dialogs";

/** How often to look how deliveries go, in milliseconds. */
const interval = 5_000;

/** What it takes to change an endpoint. */
const change = ["webhooks.write", "events.read"] as const;

type Open = "edit" | "rotate" | "delete";

const back = { href: "/webhooks", label: "Webhooks" };

/** One endpoint: how its deliveries go, and what can be done about it. */
export function Webhook({ id }: { id: string }) {
  const query = useQuery(
    WebhookService.method.getWebhookEndpoint,
    { endpointId: id },
    { refetchInterval: (query) => (query.state.error ? false : interval) },
  );
  const endpoint = query.data?.endpoint;
  if (endpoint) return <Loaded e={endpoint} />;
  const missing = query.error?.code === Code.NotFound || query.error?.code === Code.InvalidArgument;
  return (
    <>
      <PageHeader title="Webhook endpoint" back={back} />
      {missing ? (
        <EmptyState
          title="There is no such endpoint"
          action={<ButtonLink href="/webhooks">See all endpoints</ButtonLink>}
        >
          No endpoint has this id.
        </EmptyState>
      ) : query.error ? (
        <ErrorNotice error={query.error} onRetry={() => void query.refetch()} />
      ) : (
        <Skeleton lines={6} />
      )}
    </>
  );
}

function Loaded({ e }: { e: WebhookEndpoint }) {
  const [open, setOpen] = useState<Open>();
  const [secret, setSecret] = useState<string>();
  const queries = useQueryClient();
  const refresh = () => void queries.invalidateQueries();
  const disabled = e.status === WebhookEndpoint_Status.DISABLED;
  const deleted = e.status === WebhookEndpoint_Status.DELETED;
  const update = useMutation(WebhookService.method.updateWebhookEndpoint, {
    onSuccess: () =>
      toast(disabled ? "Events are delivered again." : "Events wait until it is enabled again."),
    onSettled: refresh,
  });
  const draft = draftOf(e);
  const toggle = () =>
    update.mutate({
      endpointId: e.endpointId,
      url: e.url,
      description: e.description,
      filter: filterOf(draft),
      disabled: !disabled,
    });
  const close = () => setOpen(undefined);
  return (
    <>
      <PageHeader
        title={e.description || "Webhook endpoint"}
        back={back}
        lead={
          <span className="row">
            <EndpointBadge endpoint={e} />
            <code>{e.url}</code>
          </span>
        }
        actions={
          !deleted && (
            <>
              <Button needs={change} onClick={() => setOpen("edit")}>
                Edit
              </Button>
              <Button
                icon={disabled ? "play" : "pause"}
                needs={change}
                busy={update.isPending}
                onClick={toggle}
              >
                {disabled ? "Enable" : "Disable"}
              </Button>
              <Button needs="webhooks.write" onClick={() => setOpen("rotate")}>
                Rotate secret
              </Button>
              <Button kind="danger" needs="webhooks.write" onClick={() => setOpen("delete")}>
                Delete
              </Button>
            </>
          )
        }
      />
      <div className="stack">
        <Refused error={update.error} />
        {disabled && (
          <Notice tone="info" title="Disabled">
            <p>Events are kept and delivered when it is enabled again.</p>
          </Notice>
        )}
        <Card>
          <Figures>
            <Figure label="Pending" note="retried, or waiting behind one that is">
              <Count value={e.pendingCount} />
            </Figure>
            <Figure label="Dead" note="all attempts failed">
              <Count value={e.deadCount} />
            </Figure>
            <Figure label="Last success">
              <Time value={e.lastSuccessTime} as="relative" />
            </Figure>
            <Figure label="Last failure" note={e.lastFailure || undefined}>
              <Time value={e.lastFailureTime} as="relative" />
            </Figure>
          </Figures>
        </Card>
        <Columns split="main">
          <Deliveries endpoint={e} />
          <Facts e={e} />
        </Columns>
      </div>
      {open === "edit" && <EditDialog e={e} onClose={close} onDone={refresh} />}
      {open === "rotate" && (
        <RotateDialog
          e={e}
          onClose={close}
          onDone={(next) => {
            close();
            setSecret(next);
            refresh();
          }}
        />
      )}
      {open === "delete" && <DeleteDialog e={e} onClose={close} onDone={refresh} />}
      {secret !== undefined && <EndpointSecret secret={secret} onClose={() => setSecret(undefined)} />}
    </>
  );
}

function Facts({ e }: { e: WebhookEndpoint }) {
  const f = e.filter;
  const all = <span className="muted">All</span>;
  return (
    <Card title="Details">
      <Details
        items={[
          [
            "Events",
            f?.types.length ? f.types.map((type) => typeWords[Event_Type[type] as TypeName]).join(", ") : all,
          ],
          [
            "Transfers that are",
            f?.statuses.length ? (
              f.statuses.map((status) => statusWords[Transfer_Status[status] as StatusName]).join(", ")
            ) : (
              <span key="any" className="muted">
                Anything
              </span>
            ),
          ],
          ["Currencies", f?.currencies.length ? f.currencies.join(", ") : all],
          [
            "Accounts",
            f?.accountIds.length ? (
              <span key="accounts" className="row">
                {f.accountIds.map((id) => (
                  <AccountName key={id} id={id} />
                ))}
              </span>
            ) : (
              all
            ),
          ],
          [
            "Delivered up to",
            <span key="cursor" className="num">
              {e.cursor || "–"}
            </span>,
          ],
          e.oldSecretExpireTime && [
            "Old secret signs until",
            <Time key="old" value={e.oldSecretExpireTime} />,
          ],
          ["Created", <Time key="created" value={e.createTime} />],
          ["Changed", <Time key="changed" value={e.updateTime} />],
          ["Id", <IdText key="id" id={e.endpointId} label="endpoint id" />],
        ]}
      />
    </Card>
  );
}
