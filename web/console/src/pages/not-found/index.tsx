import { ButtonLink, EmptyState, PageHeader } from "../../ui";

/** What is shown at an address that is no page. */
export function NotFound() {
  return (
    <>
      <PageHeader title="Page not found" />
      <EmptyState action={<ButtonLink href="/">Go to the overview</ButtonLink>}>
        There is no page at this address.
      </EmptyState>
    </>
  );
}
