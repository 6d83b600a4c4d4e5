import { useMutation } from "@connectrpc/connect-query";
import { type WebhookEndpoint, WebhookEndpoint_Status, WebhookService } from "internaltransfers-client";
import { useState } from "react";
import { describeError } from "../../lib/errors";
import { Refused } from "../../parts/refused";
import { Button, Dialog, Form, FormActions, SelectField, toast } from "../../ui";
import { type Draft, draftOf, filterOf, urlProblem } from "../webhooks/draft";
import { EndpointFields } from "../webhooks/endpoint-fields";

interface Props {
  e: WebhookEndpoint;
  onClose: () => void;
  onDone: () => void;
}

/** Changes an endpoint as a whole. */
export function EditDialog({ e, onClose, onDone }: Props) {
  const [draft, setDraft] = useState<Draft>(() => draftOf(e));
  const save = useMutation(WebhookService.method.updateWebhookEndpoint, {
    onSuccess: () => {
      toast("The endpoint is changed.");
      onDone();
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title="Edit endpoint">
      <Form
        onSubmit={() => {
          if (urlProblem(draft.url) || save.isPending) return;
          save.mutate({
            endpointId: e.endpointId,
            url: draft.url.trim(),
            description: draft.description.trim(),
            filter: filterOf(draft),
            disabled: e.status === WebhookEndpoint_Status.DISABLED,
          });
        }}
      >
        <EndpointFields
          draft={draft}
          errors={save.error ? describeError(save.error).fields : {}}
          submitted
          onChange={(patch) => setDraft({ ...draft, ...patch })}
        />
        <Refused error={save.error} />
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" busy={save.isPending}>
            Save
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}

const overlaps = [
  { value: "0", label: "Not at all: at once" },
  { value: "3600", label: "1 hour" },
  { value: "86400", label: "1 day" },
  { value: "604800", label: "7 days" },
  { value: "2592000", label: "30 days" },
] as const;

/** Gives the endpoint a new secret. */
export function RotateDialog({
  e,
  onClose,
  onDone,
}: Omit<Props, "onDone"> & { onDone: (secret: string) => void }) {
  const [overlap, setOverlap] = useState<(typeof overlaps)[number]["value"]>("86400");
  const rotate = useMutation(WebhookService.method.rotateWebhookSecret, {
    onSuccess: (answer) => onDone(answer.secret),
    gcTime: 0,
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title="Rotate the secret"
      lead="Makes a new secret, which is shown once. For a while messages are signed with the old one too, so that the receiver can change over."
    >
      <Form
        onSubmit={() =>
          rotate.isPending ||
          rotate.mutate({ endpointId: e.endpointId, overlap: { seconds: BigInt(overlap) } })
        }
      >
        <SelectField
          label="The old secret signs for another"
          value={overlap}
          options={overlaps}
          onChange={setOverlap}
        />
        <Refused error={rotate.error} />
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" busy={rotate.isPending}>
            Rotate
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}

/** Ends the endpoint. */
export function DeleteDialog({ e, onClose, onDone }: Props) {
  const remove = useMutation(WebhookService.method.deleteWebhookEndpoint, {
    onSuccess: () => {
      toast("The endpoint is deleted.");
      onDone();
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title="Delete the endpoint?"
      lead={`Nothing more is posted to ${e.url}, for good. What is pending is not delivered.`}
    >
      <Form onSubmit={() => remove.isPending || remove.mutate({ endpointId: e.endpointId })}>
        <Refused error={remove.error} />
        <FormActions>
          <Button onClick={onClose}>Keep it</Button>
          <Button type="submit" kind="danger" busy={remove.isPending}>
            Delete endpoint
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}
