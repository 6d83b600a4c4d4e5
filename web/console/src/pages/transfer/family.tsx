import { useInfiniteQuery } from "@connectrpc/connect-query";
import { type Transfer, Transfer_Kind, Transfer_Status, TransferService } from "internaltransfers-client";
import { transferColumns } from "../../parts/transfer-columns";
import { ButtonLink, Section, Table, tableState } from "../../ui";

const columns = transferColumns<Transfer>((t) => t).filter(
  (c) => c.id !== "reference" && c.id !== "from" && c.id !== "to",
);
const groupColumns = transferColumns<Transfer>((t) => t).filter(
  (c) => c.id !== "reference" && c.id !== "time",
);

const titles: Partial<Record<Transfer_Kind, [string, string]>> = {
  [Transfer_Kind.HOLD]: ["Captures", "Nothing was captured yet."],
  [Transfer_Kind.SCHEDULED]: ["Execution", "It was not executed yet."],
};

/** The captures, execution or reversals of a transfer, and its group. */
export function Family({ t }: { t: Transfer }) {
  // A reversal has no children, and neither has what was refused at once; a hold may have failed later.
  const deferred = t.kind === Transfer_Kind.HOLD || t.kind === Transfer_Kind.SCHEDULED;
  const childless = t.kind === Transfer_Kind.REVERSAL || (t.status === Transfer_Status.FAILED && !deferred);
  const [title, empty] = titles[t.kind] ?? ["Reversals", "Nothing was moved back."];
  return (
    <>
      {!childless && (
        <Section title={title}>
          <Transfers
            label={title}
            filter={{ parentTransferId: t.transferId }}
            columns={columns}
            empty={empty}
          />
        </Section>
      )}
      {t.groupId !== "" && (
        <Section
          title="Group"
          actions={
            <ButtonLink small kind="quiet" href={`/transfers?group=${t.groupId}`}>
              Open as a list
            </ButtonLink>
          }
        >
          <Transfers
            label="Group"
            filter={{ groupId: t.groupId }}
            columns={groupColumns}
            empty="The group is empty."
          />
        </Section>
      )}
    </>
  );
}

function Transfers({
  label,
  filter,
  columns,
  empty,
}: {
  label: string;
  filter: { parentTransferId?: string; groupId?: string };
  columns: ReturnType<typeof transferColumns<Transfer>>;
  empty: string;
}) {
  const query = useInfiniteQuery(
    TransferService.method.listTransfers,
    { ...filter, pageSize: 20, pageToken: "" },
    { pageParamKey: "pageToken", getNextPageParam: (page) => page.nextPageToken || undefined },
  );
  return (
    <Table<Transfer>
      label={label}
      columns={columns}
      rows={query.data?.pages.flatMap((page) => page.transfers) ?? []}
      rowKey={(t) => t.transferId}
      empty={empty}
      skeletonRows={2}
      {...tableState(query)}
    />
  );
}
