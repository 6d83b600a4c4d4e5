import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, GetCallerResponseSchema } from "internaltransfers-client";
import { expect, test, vi } from "vitest";
import { describeError } from "./errors";
import { denial, lacking } from "./permissions";
import { Session, whyOut } from "./session";
import { problemOf } from "./sign-in";

function failure(code: Code, reason: string, metadata = {}): ConnectError {
  return new ConnectError("no", code, { "x-request-id": "1" }, [
    { desc: ErrorInfoSchema, value: { reason, metadata } },
  ]);
}

const viewer = create(GetCallerResponseSchema, {
  authenticationRequired: true,
  apiKeyId: "v",
  permissions: ["accounts.read", "transfers.read"],
});
const open = create(GetCallerResponseSchema, {});

test.each([
  [failure(Code.Unauthenticated, "CREDENTIALS_MISSING"), "new"],
  [failure(Code.Unauthenticated, "CREDENTIALS_INVALID"), "ended"],
  [failure(Code.Unauthenticated, "CREDENTIALS_EXPIRED"), "ended"],
  [failure(Code.PermissionDenied, "NETWORK_NOT_ALLOWED"), "network"],
  [failure(Code.PermissionDenied, "PERMISSION_MISSING"), undefined],
  [failure(Code.Unavailable, "AUTH_UNAVAILABLE"), undefined],
  [new TypeError("fetch failed"), undefined],
])("%s signs out: %s", (error, why) => {
  expect(whyOut(error)).toBe(why);
});

test("a call without a session leads to where one signs in", () => {
  const session = new Session();
  session.refused(failure(Code.Unauthenticated, "CREDENTIALS_MISSING"), session.epoch);
  expect(session.state).toEqual({ phase: "out", why: "new" });
});

test("a session that was there and is not any more has ended", () => {
  const session = new Session();
  session.opened(viewer, session.epoch);
  session.refused(failure(Code.Unauthenticated, "CREDENTIALS_MISSING"), session.epoch);
  expect(session.state).toEqual({ phase: "out", why: "ended" });
});

test("what fails otherwise signs nobody out", () => {
  const session = new Session();
  session.opened(viewer, session.epoch);
  session.refused(failure(Code.PermissionDenied, "PERMISSION_MISSING"), session.epoch);
  session.refused(new TypeError("fetch failed"), session.epoch);
  expect(session.state).toEqual({ phase: "in", caller: viewer });
});

test("answers to calls from before the sign-in do not count after it", () => {
  const session = new Session();
  const before = session.epoch;
  session.closed("new");
  const epoch = session.changed();
  session.opened(viewer, epoch);
  session.refused(failure(Code.Unauthenticated, "CREDENTIALS_MISSING"), before);
  session.opened(open, before);
  expect(session.state).toEqual({ phase: "in", caller: viewer });
});

test("of many refusals the first one counts, and listeners hear of it once", () => {
  const session = new Session();
  session.opened(viewer, session.epoch);
  const listener = vi.fn();
  session.subscribe(listener);
  for (const reason of ["CREDENTIALS_EXPIRED", "CREDENTIALS_MISSING", "CREDENTIALS_MISSING"])
    session.refused(failure(Code.Unauthenticated, reason), session.epoch);
  expect(session.state).toEqual({ phase: "out", why: "ended" });
  expect(listener).toHaveBeenCalledTimes(1);
});

test("a caller lacks what is not among their permissions", () => {
  expect(lacking(viewer, "transfers.read")).toEqual([]);
  expect(lacking(viewer, "transfers.create")).toEqual(["transfers.create"]);
  expect(lacking(viewer, ["accounts.read", "accounts.write", "accounts.policy"])).toEqual([
    "accounts.write",
    "accounts.policy",
  ]);
});

test("nobody lacks anything where keys are not needed, or nobody knows who calls", () => {
  for (const caller of [open, undefined]) expect(lacking(caller, "keys.admin")).toEqual([]);
  expect(lacking(viewer)).toEqual([]);
});

test("what is lacking is told in words", () => {
  expect(denial(viewer, "transfers.create")).toBe("Needs the permission transfers.create");
  expect(denial(viewer, ["schedules.write", "transfers.create"])).toBe(
    "Needs the permissions schedules.write and transfers.create",
  );
  expect(denial(viewer, "accounts.read")).toBeUndefined();
});

test.each([
  [401, "CREDENTIALS_INVALID", /not valid/, false],
  [401, "CREDENTIALS_EXPIRED", /expired/, false],
  [403, "NETWORK_NOT_ALLOWED", /network/, false],
  [503, "AUTH_UNAVAILABLE", /Try again/, true],
])("a sign-in refused with %i %s says so", (status, reason, text, temporary) => {
  const said = problemOf(status, { code: 16, message: "no", details: [{ reason }] });
  expect(said.text).toMatch(text);
  expect(said.temporary).toBe(temporary);
});

test.each([
  undefined,
  null,
  "<html>",
  {},
  { details: [] },
  { details: [null] },
  { details: [{ reason: "toString" }] },
])("a refusal that says %j is told all the same", (body) => {
  expect(problemOf(400, body)).toEqual({ text: "The server refused this key.", temporary: false });
  expect(problemOf(502, body).temporary).toBe(true);
});

test.each([
  ["OWN_KEY", /own key/],
  ["LAST_ADMIN", /last key/],
  ["KEY_REVOKED", /revoked/],
  ["TOO_MANY_KEYS", /Too many/],
])("a refusal for %s has words", (reason, title) => {
  const problem = describeError(failure(Code.FailedPrecondition, reason));
  expect(problem.title).toMatch(title);
  expect(problem.text).not.toBe("No.");
});

test("a missing permission is named", () => {
  const error = failure(Code.PermissionDenied, "PERMISSION_MISSING", { permission: "money.issue" });
  expect(describeError(error).text).toContain("money.issue");
});
