import { explainRefusal } from "../lib/reasons";
import { ErrorNotice, Notice } from "../ui";

/** Why a call was not done: a refusal with its figures and what to do about it, or else the error. */
export function Refused({ error }: { error: unknown }) {
  if (!error) return null;
  const why = explainRefusal(error);
  if (!why) return <ErrorNotice error={error} />;
  return (
    <div role="alert">
      <Notice tone="bad" title={why.title}>
        <p>{why.text}</p>
        {why.advice && <p>{why.advice}</p>}
      </Notice>
    </div>
  );
}
