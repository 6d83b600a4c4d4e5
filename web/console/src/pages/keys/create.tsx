import { useMutation } from "@connectrpc/connect-query";
import { AccessService } from "internaltransfers-client";
import { useId, useState } from "react";
import { describeError } from "../../lib/errors";
import { useSingle } from "../../lib/single";
import { toLocalInput } from "../../lib/time";
import { Refused } from "../../parts/refused";
import { Button, Dialog, FieldRow, Form, FormActions, Icon, Notice, SelectField, TextField } from "../../ui";
import {
  type Draft,
  draftProblems,
  emptyDraft,
  networksProblem,
  type Role,
  requestOf,
  roles,
  terms,
} from "./draft";
import styles from "./keys.module.css";

/** The form of a new key. */
export function CreateKey({ onClose, onDone }: { onClose: () => void; onDone: (secret: string) => void }) {
  const [draft, setDraft] = useState<Draft>(emptyDraft);
  const [submitted, setSubmitted] = useState(false);
  const make = useMutation(AccessService.method.createApiKey, {
    onSuccess: (answer) => onDone(answer.secret),
    // The secret is for the eyes of who made it: nothing else keeps it.
    gcTime: 0,
  });
  const change = (patch: Partial<Draft>) => setDraft({ ...draft, ...patch });
  const problems = submitted ? draftProblems(draft, new Date()) : {};
  const problem = make.error ? describeError(make.error) : undefined;
  const errors = { ...problem?.fields, ...problems };
  // The call makes another key each time, so the second click of two must not send it.
  const submit = useSingle(async () => {
    setSubmitted(true);
    const now = new Date();
    if (Object.keys(draftProblems(draft, now)).length === 0) await make.mutateAsync(requestOf(draft, now));
  });
  return (
    <Dialog open onClose={onClose} title="New key" lead="Its secret is shown once, when it is made.">
      <Form onSubmit={submit}>
        <TextField
          label="Name"
          maxLength={200}
          placeholder="Who or what uses it"
          error={errors.display_name}
          value={draft.name}
          onChange={(name) => change({ name })}
        />
        <Roles value={draft.role} error={errors.role} onChange={(role) => change({ role })} />
        <FieldRow>
          <SelectField
            label="Good for"
            value={draft.term}
            options={terms}
            error={draft.term === "until" ? undefined : errors.expire_time}
            onChange={(term) => change({ term })}
          />
          {draft.term === "until" && (
            <TextField
              type="datetime-local"
              step={1}
              label="Ends"
              min={toLocalInput(new Date())}
              error={errors.expire_time}
              value={draft.until}
              onChange={(until) => change({ until })}
            />
          )}
        </FieldRow>
        <TextField
          label="Networks"
          optional
          mono
          placeholder="10.0.0.0/8, 203.0.113.7"
          hint="Where it may be used from. Behind a proxy that is the proxy's address. Empty: anywhere."
          error={networksProblem(errors)}
          value={draft.networks}
          onChange={(networks) => change({ networks })}
        />
        {problem?.temporary ? (
          <div role="alert">
            <Notice tone="warn" title="No answer came">
              <p>The key may have been made. If it is in the list, revoke it: its secret is lost.</p>
            </Notice>
          </div>
        ) : (
          <Refused error={make.error} />
        )}
        <FormActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" busy={make.isPending}>
            Make key
          </Button>
        </FormActions>
      </Form>
    </Dialog>
  );
}

/** The roles, with what each may do. */
function Roles({
  value,
  error,
  onChange,
}: {
  value: Role | "";
  error: string | undefined;
  onChange: (role: Role) => void;
}) {
  const id = useId();
  return (
    <fieldset className={styles.roles} aria-describedby={`${id}-problem`}>
      <legend>Role</legend>
      {(Object.entries(roles) as [Role, string][]).map(([role, text]) => (
        <label key={role} className={styles.role}>
          <input
            type="radio"
            name={id}
            value={role}
            checked={role === value}
            onChange={() => onChange(role)}
            aria-labelledby={`${id}-${role}`}
            aria-describedby={`${id}-${role}-text`}
          />
          <span id={`${id}-${role}`}>{role}</span>
          <span id={`${id}-${role}-text`}>{text}</span>
        </label>
      ))}
      <div id={`${id}-problem`} className={styles.problem} aria-live="polite">
        {error !== undefined && (
          <>
            <Icon name="alert" size={14} />
            {error}
          </>
        )}
      </div>
    </fieldset>
  );
}
