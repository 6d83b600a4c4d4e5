import { useInfiniteQuery } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { AccessService, type ApiKey } from "internaltransfers-client";
import { useState } from "react";
import { useCaller } from "../../lib/permissions";
import { SecretDialog } from "../../parts/secret-dialog";
import { Badge, Button, type Column, Nothing, Notice, PageHeader, Table, Time, tableState } from "../../ui";
import { CreateKey } from "./create";
import { RevokeKey, RotateKey } from "./dialogs";
import { roleText, standingOf } from "./draft";
import styles from "./keys.module.css";

/** How often to look when keys were used, in milliseconds. */
const interval = 10_000;

type Open = { what: "create" } | { what: "rotate" | "revoke"; key: ApiKey };

/** The API keys: who may call, and what they may do. */
export function Keys() {
  const caller = useCaller();
  const [open, setOpen] = useState<Open>();
  const [secret, setSecret] = useState<string>();
  const queries = useQueryClient();
  const query = useInfiniteQuery(
    AccessService.method.listApiKeys,
    { pageToken: "" },
    {
      pageParamKey: "pageToken",
      getNextPageParam: (page) => page.nextPageToken || undefined,
      refetchInterval: (query) => (query.state.error ? false : interval),
    },
  );
  const close = () => setOpen(undefined);
  const show = (made: string) => {
    close();
    setSecret(made);
    void queries.invalidateQueries();
  };
  const own = caller?.apiKeyId ?? "";
  const columns: Column<ApiKey>[] = [
    { id: "name", header: "Name", primary: true, cell: (key) => <Name apiKey={key} own={own} /> },
    { id: "role", header: "Role", cell: (key) => roleText(key) },
    { id: "status", header: "Status", fit: true, cell: (key) => <Standing apiKey={key} /> },
    {
      id: "created",
      header: "Created",
      fit: true,
      hide: "narrow",
      cell: (key) => <Time value={key.createTime} as="relative" />,
    },
    { id: "used", header: "Last use", fit: true, cell: (key) => <LastUse apiKey={key} /> },
    {
      id: "expires",
      header: "Expires",
      fit: true,
      cell: (key) =>
        standingOf(key, Date.now()) === "revoked" ? (
          <Nothing />
        ) : key.expireTime ? (
          <Time value={key.expireTime} as="relative" />
        ) : (
          <span className="muted">never</span>
        ),
    },
    {
      id: "actions",
      header: "Actions",
      fit: true,
      align: "end",
      cell: (key) =>
        standingOf(key, Date.now()) === "revoked" ? (
          <Nothing />
        ) : (
          <span className={styles.actions}>
            <Button
              small
              aria-label={`Rotate ${key.displayName}`}
              onClick={() => setOpen({ what: "rotate", key })}
            >
              Rotate
            </Button>
            <Button
              small
              aria-label={`Revoke ${key.displayName}`}
              onClick={() => setOpen({ what: "revoke", key })}
            >
              Revoke
            </Button>
          </span>
        ),
    },
  ];
  const create = (
    <Button kind="primary" icon="plus" onClick={() => setOpen({ what: "create" })}>
      New key
    </Button>
  );
  return (
    <>
      <PageHeader
        title="Keys"
        lead="Who may call this ledger, and what they may do. Programs send a key with each call; people sign in with one here."
        actions={create}
      />
      <div className="stack">
        {caller && !caller.authenticationRequired && (
          <Notice tone="warn" title="Nobody needs a key at present">
            <p>
              Everybody who reaches this server may do everything. To ask for keys, start it with{" "}
              <code>AUTH=required</code>.
            </p>
          </Notice>
        )}
        <Table<ApiKey>
          label="API keys"
          columns={columns}
          rows={query.data?.pages.flatMap((page) => page.apiKeys)}
          rowKey={(key) => key.apiKeyId}
          empty="There are no keys yet. The first one should have the role admin, to manage the others."
          emptyAction={create}
          skeletonRows={3}
          {...tableState(query)}
        />
      </div>
      {open?.what === "create" && <CreateKey onClose={close} onDone={show} />}
      {open?.what === "rotate" && (
        <RotateKey apiKey={open.key} own={open.key.apiKeyId === own} onClose={close} onDone={show} />
      )}
      {open?.what === "revoke" && (
        <RevokeKey apiKey={open.key} own={open.key.apiKeyId === own} onClose={close} />
      )}
      {secret !== undefined && (
        <SecretDialog
          secret={secret}
          lead={"Programs send it as “Authorization:\u00a0Bearer\u00a0…”; people type it where they sign in."}
          advice="Copy it to where it is used, such as a store of secrets. Nobody can read it again: if it gets lost, rotate the key."
          onClose={() => setSecret(undefined)}
        />
      )}
    </>
  );
}

function Name({ apiKey, own }: { apiKey: ApiKey; own: string }) {
  return (
    <span className={styles.name}>
      <span className="row">
        <span className={styles.text}>{apiKey.displayName}</span>
        {apiKey.apiKeyId === own && (
          <Badge tone="info" icon="keys">
            Yours
          </Badge>
        )}
      </span>
      {apiKey.networks.length > 0 && (
        <span className={styles.note}>Only from {apiKey.networks.join(", ")}</span>
      )}
    </span>
  );
}

function Standing({ apiKey }: { apiKey: ApiKey }) {
  switch (standingOf(apiKey, Date.now())) {
    case "revoked":
      return (
        <Badge tone="neutral" icon="lock">
          Revoked
        </Badge>
      );
    case "expired":
      return (
        <Badge tone="neutral" icon="clock">
          Expired
        </Badge>
      );
    case "active":
      return (
        <>
          <Badge tone="good">Active</Badge>
          {apiKey.oldSecretExpireTime && (
            <div className={styles.note}>
              Old secret ends <Time value={apiKey.oldSecretExpireTime} as="relative" />
            </div>
          )}
        </>
      );
  }
}

function LastUse({ apiKey }: { apiKey: ApiKey }) {
  if (!apiKey.lastUseTime) return <span className="muted">never</span>;
  return (
    <span title={apiKey.lastUseAddress && `From ${apiKey.lastUseAddress}`}>
      <Time value={apiKey.lastUseTime} as="relative" />
    </span>
  );
}
