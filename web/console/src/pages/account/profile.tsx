import { useMutation } from "@tanstack/react-query";
import { type Account, Account_Status } from "internaltransfers-client";
import { type ReactNode, useState } from "react";
import { describeError } from "../../lib/errors";
import { imageProblem } from "../../lib/image";
import { clients, queryClient } from "../../lib/rpc";
import { useSingle } from "../../lib/single";
import {
  Button,
  Card,
  Count,
  Details,
  Dialog,
  Form,
  FormActions,
  MetadataField,
  metadataOf,
  Nothing,
  type Pair,
  pairsAreSound,
  pairsOf,
  TextField,
  Time,
  toast,
} from "../../ui";
import styles from "./account.module.css";
import { changeAccount, changedSettings, rebase } from "./change";
import { ChangeError } from "./change-error";
import { showAccount } from "./use-account";

/** What people see of an account, and what its owner keeps with it. */
export function ProfileCard({ account }: { account: Account }) {
  const [editing, setEditing] = useState(false);
  const metadata = Object.entries(account.metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <Card
      title="Profile"
      actions={
        account.status !== Account_Status.CLOSED && (
          <Button small needs="accounts.write" onClick={() => setEditing(true)}>
            Edit<span className="sr-only"> profile</span>
          </Button>
        )
      }
    >
      <Details
        items={[
          ["Name", textOrNothing(account.displayName)],
          ["Picture", pictureLink(account.imageUrl)],
          ["Opened", <Time key="opened" value={account.createTime} />],
          ["Changed", <Time key="changed" value={account.updateTime} />],
          ["Version", <Count key="version" value={account.version} />],
        ]}
      />
      {metadata.length > 0 && (
        <>
          <h3 className={styles.subhead}>Metadata</h3>
          <Details items={metadata} />
        </>
      )}
      <Dialog open={editing} onClose={() => setEditing(false)} title="Profile">
        <ProfileForm account={account} onClose={() => setEditing(false)} />
      </Dialog>
    </Card>
  );
}

function textOrNothing(text: string): ReactNode {
  return text === "" ? <Nothing /> : text;
}

function pictureLink(url: string): ReactNode {
  if (url === "") return <Nothing />;
  return (
    <a href={url} target="_blank" rel="noreferrer" className={styles.breakable}>
      {url}
    </a>
  );
}

/** The profile as it is being typed. */
interface ProfileDraft {
  displayName: string;
  imageUrl: string;
  pairs: Pair[];
}

function draftOf({ displayName, imageUrl, metadata }: Account): ProfileDraft {
  return { displayName, imageUrl, pairs: pairsOf(metadata) };
}

function ProfileForm({ account, onClose }: { account: Account; onClose: () => void }) {
  const [seen, setSeen] = useState(account);
  const [draft, setDraft] = useState(() => draftOf(account));
  const { displayName, imageUrl, pairs } = draft;
  const patch = (part: Partial<ProfileDraft>) => setDraft({ ...draft, ...part });
  const change = { displayName, imageUrl: imageUrl.trim(), metadata: metadataOf(pairs) };
  const paths = changedSettings(seen, { ...seen, ...change });
  const update = useMutation({
    mutationFn: () => changeAccount(clients.accounts, seen, change, paths),
    onSuccess: (now) => {
      showAccount(now);
      void queryClient.invalidateQueries();
      toast("The profile is changed.");
      onClose();
    },
  });
  const serverSays = update.error ? describeError(update.error).fields : {};
  const metadataSaid = Object.entries(serverSays).find(([field]) =>
    field.startsWith("account.metadata"),
  )?.[1];
  const submit = useSingle(async () => {
    if (imageProblem(imageUrl) || !pairsAreSound(pairs)) return;
    if (paths.length === 0) onClose();
    else await update.mutateAsync();
  });
  return (
    <Form onSubmit={submit}>
      <TextField
        autoFocus
        label="Name"
        optional
        maxLength={200}
        value={displayName}
        onChange={(displayName) => patch({ displayName })}
        error={serverSays["account.display_name"]}
      />
      <TextField
        label="Picture"
        optional
        type="url"
        placeholder="https://"
        value={imageUrl}
        onChange={(imageUrl) => patch({ imageUrl })}
        error={imageProblem(imageUrl) ?? serverSays["account.image_url"]}
      />
      <MetadataField pairs={pairs} onChange={(pairs) => patch({ pairs })} error={metadataSaid} />
      <ChangeError
        error={update.error}
        onLookAgain={(now) => {
          setDraft(rebase(draft, draftOf(seen), draftOf(now)));
          setSeen(now);
          update.reset();
        }}
      />
      <FormActions>
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" kind="primary" busy={update.isPending}>
          Save
        </Button>
      </FormActions>
    </Form>
  );
}
