import { ScalarType } from "@bufbuild/protobuf";
import { useSearchParams } from "wouter";
import { serverAddress, serverPath } from "../../lib/base";
import { useCaller } from "../../lib/permissions";
import {
  AccountField,
  Card,
  CheckField,
  CopyButton,
  Details,
  Icon,
  IdText,
  PageHeader,
  SelectField,
  TextField,
} from "../../ui";
import { type Call, type CallField, calls, describe } from "./calls";
import styles from "./developers.module.css";
import { useExamples } from "./examples";
import { bufCurl, curlConnect, curlREST, typeScript, type Values } from "./write";

const defaultCall = "create-transfer";

/** A call that one puts together, in each of the ways there are to make it. */
export function Developers() {
  const [params, setParams] = useSearchParams();
  const example = useExamples();
  const withKey = useCaller()?.authenticationRequired ?? false;
  const call = calls.find(({ id }) => id === (params.get("call") ?? defaultCall)) ?? (calls[0] as Call);
  const values: Values = Object.fromEntries(
    call.fields.map((field) => [field.name, params.get(field.name) ?? example(field)]),
  );
  const missing = call.fields.filter((field) => field.example && values[field.name] === "");

  const choose = (id: string) => setParams(id === defaultCall ? {} : { call: id });
  const change = (name: string, value: string) =>
    setParams(
      (old) => {
        const next = new URLSearchParams(old);
        next.set(name, value);
        return next;
      },
      { replace: true },
    );

  return (
    <>
      <PageHeader
        title="Developers"
        lead="Put a call together and copy it, in each of the ways there are to make it."
        actions={
          <a href={serverPath("/docs")} className={styles.docs}>
            <Icon name="docs" />
            API reference
          </a>
        }
      />
      <div className={styles.columns}>
        <div className={styles.left}>
          <Card title="The call">
            <div className="stack">
              <SelectField
                label="What to do"
                value={call.id}
                options={calls.map(({ id, title }) => ({ value: id, label: title }))}
                hint={call.lead}
                onChange={choose}
              />
              {call.fields.map((field) => (
                <ValueField
                  key={`${call.id} ${field.name}`}
                  call={call}
                  field={field}
                  value={values[field.name] ?? ""}
                  onChange={(value) => change(field.name, value)}
                />
              ))}
            </div>
          </Card>
          <Card title="Where things are">
            <Details
              items={[
                ["Address", <IdText key="a" id={serverAddress} full label="address" />],
                [
                  "Reference",
                  <a key="r" href={serverPath("/docs")}>
                    /docs
                  </a>,
                ],
                [
                  "OpenAPI",
                  <a key="o" href={serverPath("/docs/openapi.json")}>
                    /docs/openapi.json
                  </a>,
                ],
                withKey && [
                  "Keys",
                  <span key="k">
                    Each call needs one, here from the variable <code>KEY</code>.
                  </span>,
                ],
                ["Protocols", "Connect, gRPC, gRPC-Web, JSON and REST, on this one port"],
              ]}
            />
          </Card>
        </div>
        <div className={styles.samples} aria-live="off">
          {missing.length > 0 && (
            <p className={styles.missing} role="status">
              <Icon name="info" />
              This ledger has nothing to fill in for {missing.map(({ label }) => label).join(" and ")} yet.
            </p>
          )}
          <Sample title="curl, REST" text={curlREST(call, values, serverAddress, withKey)}>
            This call has no REST route, because it is a stream. List events gives the same by page.
          </Sample>
          <Sample title="curl, Connect" text={curlConnect(call, values, serverAddress, withKey)} />
          <Sample title="buf curl" text={bufCurl(call, values, serverAddress, withKey)} />
          <Sample title="TypeScript" text={typeScript(call, values, serverAddress, withKey)} />
        </div>
      </div>
    </>
  );
}

function ValueField({
  call,
  field,
  value,
  onChange,
}: {
  call: Call;
  field: CallField;
  value: string;
  onChange: (value: string) => void;
}) {
  const { label, hint, kind } = field;
  const found = describe(call, field);
  const required = field.example !== undefined && field.example !== "id";
  if (kind === "account") {
    return <AccountField label={label} hint={hint} optional={!required} value={value} onChange={onChange} />;
  }
  if (typeof kind === "object") {
    const options = [{ value: "", label: "Any" }, ...kind.map((name) => ({ value: name, label: name }))];
    return (
      <SelectField label={label} hint={hint} optional value={value} options={options} onChange={onChange} />
    );
  }
  if (found.fieldKind === "scalar" && found.scalar === ScalarType.BOOL) {
    return (
      <CheckField
        label={label}
        hint={hint}
        checked={value === "true"}
        onChange={(checked) => onChange(String(checked))}
      />
    );
  }
  return (
    <TextField
      label={label}
      hint={hint}
      optional={!required && field.initial === undefined}
      mono={field.name.endsWith("Id")}
      numeric={kind === "amount"}
      value={value}
      onChange={onChange}
    />
  );
}

/** Text to copy. */
function Sample({ title, text, children }: { title: string; text: string | undefined; children?: string }) {
  return (
    <section className={styles.sample} aria-label={title}>
      <div className={styles.head}>
        <h2>{title}</h2>
        {text !== undefined && (
          <CopyButton text={text} label={`Copy ${title}`}>
            Copy
          </CopyButton>
        )}
      </div>
      {text === undefined ? (
        <p className={styles.none}>{children}</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached with the keyboard
        <pre tabIndex={0}>
          <code>{text.trimEnd()}</code>
        </pre>
      )}
    </section>
  );
}
