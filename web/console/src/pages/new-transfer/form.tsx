import { create } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { createConnectQueryKey, useMutation, useTransport } from "@connectrpc/connect-query";
import { useQueryClient } from "@tanstack/react-query";
import { GetTransferResponseSchema, type Transfer, TransferService } from "internaltransfers-client";
import { useRef, useState } from "react";
import { describeError } from "../../lib/errors";
import { explainRefusal } from "../../lib/reasons";
import { clients } from "../../lib/rpc";
import { toLocalInput } from "../../lib/time";
import { PayFields, usePayment } from "../../parts/pay-fields";
import {
  Button,
  ButtonLink,
  Card,
  CheckField,
  ErrorNotice,
  FieldRow,
  Form,
  FormActions,
  MetadataField,
  Notice,
  Segments,
  SelectField,
  TextField,
} from "../../ui";
import { type Draft, draftProblems, requestOf, type TtlUnit } from "./draft";
import styles from "./new-transfer.module.css";
import { Preview } from "./preview";

const modes = [
  { value: "now", label: "Now" },
  { value: "hold", label: "Hold" },
  { value: "later", label: "Later" },
] as const;

const modeHints = {
  now: "The money moves at once.",
  hold: "The money is reserved; it moves when the hold is captured.",
  later: "The money moves at the time you choose. Funds are checked then.",
};

const ttlUnits: { value: TtlUnit; label: string }[] = [
  { value: "minutes", label: "minutes" },
  { value: "hours", label: "hours" },
  { value: "days", label: "days" },
  { value: "never", label: "until captured" },
];

/** The form of a transfer with this id. */
export function TransferForm({
  id,
  begin,
  unknown,
  onChange,
  onAnother,
}: {
  id: string;
  begin: Draft;
  /** Why nobody knows whether the transfer has been made already. */
  unknown: ConnectError | undefined;
  onChange: (draft: Draft) => void;
  onAnother: () => void;
}) {
  const [draft, setDraft] = useState(begin);
  const [submitted, setSubmitted] = useState(begin.sent);
  const change = (patch: Partial<Draft>) => {
    const next = { ...draft, ...patch };
    setDraft(next);
    onChange(next);
  };
  const checked = usePayment(draft);
  const problems = draftProblems(draft);
  const show = useOutcome(id);
  const send = useMutation(TransferService.method.createTransfer, {
    onSuccess: (answer) => answer.transfer && show(answer.transfer),
    onError: async (error) => {
      // A refusal is on record, as the transfer itself is.
      if (explainRefusal(error)) await recorded(id, show);
    },
  });
  // State comes a moment late for the second click of two.
  const sending = useRef(false);
  const submit = () => {
    setSubmitted(true);
    if (sending.current || !checked.ready || !checked.amount.ok || Object.keys(problems).length > 0) return;
    sending.current = true;
    change({ sent: true });
    send.mutate(
      { ...requestOf(draft, checked.amount.value), transferId: id },
      {
        onSettled: () => {
          sending.current = false;
        },
      },
    );
  };
  const errors = { ...(send.error ? describeError(send.error).fields : {}), ...(submitted ? problems : {}) };
  const request =
    checked.ready && checked.amount.ok && Object.keys(problems).length === 0
      ? requestOf(draft, checked.amount.value)
      : undefined;

  return (
    <div className={styles.layout}>
      <Card>
        <Form onSubmit={submit}>
          {unknown && <ErrorNotice error={unknown} />}
          <PayFields
            payment={draft}
            checked={checked}
            errors={errors}
            submitted={submitted}
            onChange={change}
          />
          <div className={styles.when}>
            <Segments label="When" value={draft.mode} options={modes} onChange={(mode) => change({ mode })} />
            <span className="muted">{modeHints[draft.mode]}</span>
          </div>
          {draft.mode === "hold" && (
            <FieldRow>
              <TextField
                label="Hold for"
                inputMode="numeric"
                disabled={draft.ttlUnit === "never"}
                error={errors.hold_ttl}
                value={draft.ttlUnit === "never" ? "" : draft.ttl}
                onChange={(ttl) => change({ ttl })}
              />
              <SelectField
                label="Unit"
                value={draft.ttlUnit}
                options={ttlUnits}
                onChange={(ttlUnit) => change({ ttlUnit })}
              />
            </FieldRow>
          )}
          {draft.mode === "later" && (
            <FieldRow>
              <TextField
                type="datetime-local"
                step={1}
                label="Time"
                min={toLocalInput(new Date())}
                error={errors.execute_time}
                hint={`Your time zone: ${Intl.DateTimeFormat().resolvedOptions().timeZone}`}
                value={draft.at}
                onChange={(at) => change({ at })}
              />
            </FieldRow>
          )}
          <CheckField
            label="Up to this amount"
            hint="Moves less when the payer has less, or the payee may take less. Nothing at all is a refusal."
            checked={draft.upTo}
            onChange={(upTo) => change({ upTo })}
          />
          {draft.upTo && (
            <FieldRow>
              <TextField
                label="Down to"
                optional
                numeric
                placeholder="0"
                error={errors.up_to_floor}
                hint="What the payer keeps of what is available. Below zero draws an agreed overdraft."
                value={draft.floor}
                onChange={(floor) => change({ floor })}
              />
            </FieldRow>
          )}
          <FieldRow>
            <TextField
              label="Reference"
              optional
              maxLength={200}
              error={errors.reference}
              hint="Your own; transfers can be found by it."
              value={draft.reference}
              onChange={(reference) => change({ reference })}
            />
          </FieldRow>
          <MetadataField pairs={draft.metadata} onChange={(metadata) => change({ metadata })} />
          <Failure error={send.error} id={id} onAnother={onAnother} />
          <FormActions>
            <Button type="submit" kind="primary" needs="transfers.create" busy={send.isPending}>
              {send.error && draft.sent ? "Try again" : labels[draft.mode]}
            </Button>
          </FormActions>
        </Form>
      </Card>
      <Preview request={request} checked={checked} id={id} />
    </div>
  );
}

const labels = { now: "Transfer", hold: "Hold the money", later: "Schedule transfer" };

/** Puts the transfer where the page looks for it: it shows what became of it then. */
function useOutcome(id: string): (transfer: Transfer) => void {
  const queries = useQueryClient();
  const transport = useTransport();
  return (transfer) => {
    queries.setQueryData(
      createConnectQueryKey({
        schema: TransferService.method.getTransfer,
        input: { transferId: id },
        transport,
        cardinality: "finite",
      }),
      create(GetTransferResponseSchema, { transfer }),
    );
  };
}

async function recorded(id: string, show: (transfer: Transfer) => void): Promise<void> {
  try {
    const { transfer } = await clients.transfers.getTransfer({ transferId: id });
    if (transfer) show(transfer);
  } catch {
    // The refusal is shown below the form instead.
  }
}

/** Why the call was not done, or why nobody knows. */
function Failure({
  error,
  id,
  onAnother,
}: {
  error: ConnectError | null;
  id: string;
  onAnother: () => void;
}) {
  if (!error) return null;
  const why = explainRefusal(error);
  const problem = describeError(error);
  if (why) {
    return (
      <div role="alert">
        <Notice tone="bad" title={why.title}>
          <p>{why.text}</p>
          {why.advice && <p>{why.advice}</p>}
        </Notice>
      </div>
    );
  }
  if (error.code === Code.AlreadyExists) {
    return (
      <div role="alert">
        <Notice
          tone="warn"
          title="This transfer was made before"
          action={
            <span className="row">
              <ButtonLink small href={`/transfers/${id}`}>
                See it
              </ButtonLink>
              <Button small onClick={onAnother}>
                Make this as another
              </Button>
            </span>
          }
        >
          <p>It was made with other details than these, so nothing was done now.</p>
        </Notice>
      </div>
    );
  }
  if (problem.temporary || error.code === Code.Unknown || error.code === Code.Canceled) {
    return (
      <div role="alert">
        <Notice tone="warn" title="No answer came">
          <p>
            The transfer may or may not have been made. Try again: as long as this page has the same id it is
            made once.
          </p>
        </Notice>
      </div>
    );
  }
  const named = Object.keys(problem.fields);
  return <ErrorNotice error={error} key={named.join()} />;
}
