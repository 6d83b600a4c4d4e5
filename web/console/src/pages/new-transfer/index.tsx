import { Code } from "@connectrpc/connect";
import { useQuery } from "@connectrpc/connect-query";
import { newTransferId, TransferService } from "internaltransfers-client";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { isUUID } from "../../lib/url";
import { PageHeader, Skeleton } from "../../ui";
import { type Draft, draftFrom, loadDraft, saveDraft } from "./draft";
import { TransferForm } from "./form";
import { Outcome } from "./outcome";

/**
 * Makes a transfer. Its id is made once and kept in the address: a double click, another try after a lost connection
 * and a reload of the page all ask for the same transfer, which the ledger makes once.
 */
export function NewTransfer() {
  const [params, setParams] = useSearchParams();
  const given = params.get("id") ?? "";
  const [made, setMade] = useState(() => ({ id: newTransferId(), shown: false }));
  // The address has no id when the page is opened, and again when a link to it is followed on the page itself.
  if (given === made.id && !made.shown) setMade({ ...made, shown: true });
  if (!isUUID(given) && made.shown) setMade({ id: newTransferId(), shown: false });
  const id = isUUID(given) ? given : made.id;
  useEffect(() => {
    if (given !== id) setParams((old) => withId(old, id), { replace: true });
  }, [given, id, setParams]);

  /** Another transfer, which begins as the draft says. */
  const another = (draft?: Draft) => {
    const next = newTransferId();
    if (draft) saveDraft(next, { ...draft, sent: false });
    setMade({ id: next, shown: false });
    setParams(new URLSearchParams({ id: next }));
  };

  return (
    <>
      <PageHeader
        title="New transfer"
        lead="Moves money from one account to another: now, later, or once it is captured."
      />
      <Attempt key={id} id={id} fresh={made.id === id} params={params} another={another} />
    </>
  );
}

function withId(params: URLSearchParams, id: string): URLSearchParams {
  const next = new URLSearchParams(params);
  next.set("id", id);
  return next;
}

/** One transfer: the form, or what became of it. */
function Attempt({
  id,
  fresh,
  params,
  another,
}: {
  id: string;
  /** The id was made just now, so there can be no such transfer. */
  fresh: boolean;
  params: URLSearchParams;
  another: (draft?: Draft) => void;
}) {
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is typed is not replaced by an address that changes
  const begin = useMemo(() => loadDraft(id) ?? draftFrom(params), [id]);
  const kept = useRef(begin);
  const query = useQuery(
    TransferService.method.getTransfer,
    { transferId: id },
    { enabled: !fresh || begin.sent, staleTime: Number.POSITIVE_INFINITY },
  );
  const transfer = query.data?.transfer;
  if (transfer) {
    return <Outcome transfer={transfer} onAnother={() => another()} onAgain={() => another(kept.current)} />;
  }
  if (query.isLoading) return <Skeleton lines={8} />;
  return (
    <TransferForm
      id={id}
      begin={kept.current}
      unknown={query.error !== null && query.error.code !== Code.NotFound ? query.error : undefined}
      onChange={(draft) => {
        kept.current = draft;
        saveDraft(id, draft);
      }}
      onAnother={() => another(kept.current)}
    />
  );
}
