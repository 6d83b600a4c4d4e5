import { useMutation } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { AccessService, type ApiKey } from "internaltransfers-client";
import { useState } from "react";
import { useSingle } from "../../lib/single";
import { Refused } from "../../parts/refused";
import { Button, Dialog, Form, FormActions, Notice, SelectField, toast } from "../../ui";

interface Props {
  apiKey: ApiKey;
  /** It is the key that the reader signed in with. */
  own: boolean;
  onClose: () => void;
}

const overlaps = [
  { value: "0", label: "Not at all: it ends at once" },
  { value: "3600", label: "For 1 hour" },
  { value: "86400", label: "For 1 day" },
  { value: "604800", label: "For 7 days" },
  { value: "2592000", label: "For 30 days" },
] as const;

/** Gives a key a new secret. */
export function RotateKey({ apiKey, own, onClose, onDone }: Props & { onDone: (secret: string) => void }) {
  const [overlap, setOverlap] = useState<(typeof overlaps)[number]["value"]>("86400");
  const rotate = useMutation(AccessService.method.rotateApiKey, {
    onSuccess: (answer) => onDone(answer.secret),
    gcTime: 0,
  });
  // Each call makes another secret.
  const submit = useSingle(() =>
    rotate.mutateAsync({ apiKeyId: apiKey.apiKeyId, overlap: { seconds: BigInt(overlap) } }),
  );
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Rotate “${apiKey.displayName}”`}
      lead="Makes a new secret, which is shown once. For a while the old one is taken too, so that nothing fails while you change over."
    >
      <Form onSubmit={submit}>
        <SelectField
          label="The old secret is taken"
          value={overlap}
          options={overlaps}
          onChange={setOverlap}
        />
        {own && (
          <Notice tone="warn" title="You are signed in with this key">
            <p>
              {overlap === "0"
                ? "You are signed out as soon as it is rotated, maybe before you have copied the new secret. Let the old one overlap."
                : "Your session ends with the old secret. Sign in with the new one before."}
            </p>
          </Notice>
        )}
        <Refused error={rotate.error} />
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" disabled={own && overlap === "0"} busy={rotate.isPending}>
            Rotate
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}

/** Ends a key. */
export function RevokeKey({ apiKey, own, onClose }: Props) {
  const queries = useQueryClient();
  const revoke = useMutation(AccessService.method.revokeApiKey, {
    onSuccess: () => {
      toast(`The key “${apiKey.displayName}” is revoked.`);
      onClose();
    },
    onSettled: () => void queries.invalidateQueries(),
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={`Revoke “${apiKey.displayName}”?`}
      lead="Calls with this key are refused from now on, for good; on other servers of this ledger within 5 seconds."
    >
      <Form onSubmit={() => revoke.isPending || revoke.mutate({ apiKeyId: apiKey.apiKeyId })}>
        {own && (
          <Notice tone="warn" title="You are signed in with this key">
            <p>You are signed out at once, and need another key to come back.</p>
          </Notice>
        )}
        <Refused error={revoke.error} />
        <FormActions>
          <Button onClick={onClose}>Keep it</Button>
          <Button type="submit" kind="danger" busy={revoke.isPending}>
            Revoke key
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}
