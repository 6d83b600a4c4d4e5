import { create } from "@bufbuild/protobuf";
import { ApiKey_Status, ApiKeySchema } from "internaltransfers-client";
import { expect, test } from "vitest";
import { fromDate } from "../../lib/time";
import {
  type Draft,
  draftProblems,
  emptyDraft,
  networksOf,
  networksProblem,
  requestOf,
  roleText,
  standingOf,
} from "./draft";

const now = new Date("2026-11-22T12:00:00Z");
const sound: Draft = { ...emptyDraft, name: " books ", role: "viewer" };

test("a draft needs a name, a role and a time that is to come", () => {
  expect(Object.keys(draftProblems(emptyDraft, now))).toEqual(["display_name", "role"]);
  expect(draftProblems(sound, now)).toEqual({});
  for (const until of ["", "2026-11-22T11:00:00Z"])
    expect(Object.keys(draftProblems({ ...sound, term: "until", until }, now))).toEqual(["expire_time"]);
  expect(draftProblems({ ...sound, term: "until", until: "2026-11-23T00:00:00Z" }, now)).toEqual({});
});

test("networks are parted by commas, spaces and lines", () => {
  expect(networksOf("")).toEqual([]);
  expect(networksOf(" 10.0.0.0/8, 203.0.113.7\n2001:db8::/32;")).toEqual([
    "10.0.0.0/8",
    "203.0.113.7",
    "2001:db8::/32",
  ]);
});

test("the call has what was typed", () => {
  expect(requestOf({ ...sound, networks: "10.0.0.0/8" }, now)).toEqual({
    displayName: "books",
    role: "viewer",
    networks: ["10.0.0.0/8"],
    expireTime: fromDate(new Date("2027-02-20T12:00:00Z")),
  });
  expect(requestOf({ ...sound, term: "never" }, now)).not.toHaveProperty("expireTime");
  expect(requestOf({ ...sound, term: "until", until: "2026-12-01T00:00:00Z" }, now).expireTime).toEqual(
    fromDate(new Date("2026-12-01T00:00:00Z")),
  );
});

test("what the server says of one network is said of the field", () => {
  expect(networksProblem({ role: "no", "networks[1]": "must be a network" })).toBe("must be a network");
  expect(networksProblem({ networks: "too many" })).toBe("too many");
  expect(networksProblem({ role: "no" })).toBeUndefined();
});

test("a key is active until it expires or is revoked", () => {
  const key = create(ApiKeySchema, { status: ApiKey_Status.ACTIVE });
  expect(standingOf(key, now.getTime())).toBe("active");
  const ends = { ...key, expireTime: create(ApiKeySchema, { expireTime: fromDate(now) }).expireTime! };
  expect(standingOf(ends, now.getTime() - 1)).toBe("active");
  expect(standingOf(ends, now.getTime())).toBe("expired");
  expect(standingOf({ ...ends, status: ApiKey_Status.REVOKED }, now.getTime())).toBe("revoked");
});

test("the role says what a key may do, and that there is more", () => {
  const grants = [{ permissions: ["a", "b"] }, { permissions: ["b"] }];
  expect(roleText(create(ApiKeySchema, { role: "viewer" }))).toBe("viewer");
  expect(roleText(create(ApiKeySchema, { role: "viewer", grants }))).toBe("viewer and 2 permissions");
  expect(roleText(create(ApiKeySchema, { grants: [{ permissions: ["a"] }] }))).toBe("1 permission");
});
