// The example of the README, run as somebody would who installed the package, against the real server. The browser tests of the
// repository run the same example in a browser.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, expect, test } from "vitest";

const client = resolve(import.meta.dirname, "..");
const program = resolve(client, "../../bin/internaltransfers");
const example = readFileSync(join(client, "examples/pay.js"), "utf8");

const output = `attempt 1: Alice has 70.00 USD
attempt 2: Alice has 70.00 USD
refused: transfer … was refused: account …, with a balance of 70.00, cannot pay 500.00 USD
event: a new account done
event: 30.00 done
event: 500.00 refused
`;

/** Where the package is installed, as npm packs it, beside what it depends on. */
const project = mkdtempSync(join(tmpdir(), "internaltransfers-client-"));
let server: ReturnType<typeof spawn>;
let address: string;

beforeAll(async () => {
  install();
  server = spawn(program, ["serve"], {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      PG_BIN: process.env.PG_BIN,
      DATA_DIR: join(tmpdir(), `${project.slice(tmpdir().length + 1)}-data`),
      LISTEN_ADDR: "127.0.0.1:0",
      LOG_FORMAT: "json",
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  address = await new Promise<string>((resolve, reject) => {
    server.on("error", reject);
    server.on("exit", (code) => reject(new Error(`${program} ended: ${code}`)));
    createInterface(server.stderr!).on("line", (line) => {
      const { msg, address } = JSON.parse(line) as { msg: string; address?: string };
      if (msg === "listening" && address) resolve(address);
    });
  });
}, 60_000);

afterAll(async () => {
  if (server?.exitCode === null) {
    await new Promise((resolve) => {
      server.on("exit", resolve);
      server.kill("SIGTERM");
    });
  }
  rmSync(project, { recursive: true, force: true });
  rmSync(`${project}-data`, { recursive: true, force: true });
}, 60_000);

function install() {
  const tarball = execFileSync(
    "npm",
    ["pack", "--silent", "--ignore-scripts", "--pack-destination", project],
    {
      cwd: client,
      encoding: "utf8",
    },
  ).trim();
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, "internaltransfers-client"), { recursive: true });
  execFileSync("tar", [
    "xzf",
    join(project, tarball),
    "--strip-components=1",
    "-C",
    join(modules, "internaltransfers-client"),
  ]);
  for (const scope of ["@bufbuild", "@connectrpc"]) {
    symlinkSync(resolve(client, "../node_modules", scope), join(modules, scope));
  }
}

test("the README shows the example and what it prints", () => {
  const readme = readFileSync(join(client, "README.md"), "utf8");
  expect(readme).toContain(`\`\`\`js\n${example}\`\`\``);
  expect(readme).toContain(`\`\`\`\n${output}\`\`\``);
});

test("the example runs in Node", () => {
  expect(example).toContain("http://localhost:9091");
  writeFileSync(join(project, "pay.mjs"), example.replace("http://localhost:9091", `http://${address}`));
  const printed = execFileSync(process.execPath, ["pay.mjs"], {
    cwd: project,
    encoding: "utf8",
    timeout: 30_000,
  });
  expect(printed.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "…")).toBe(output);
}, 60_000);

test("the example is TypeScript too", () => {
  writeFileSync(join(project, "pay.mts"), example);
  const compiler = resolve(client, "../node_modules/.bin/tsc");
  const options =
    "--noEmit --strict --module nodenext --target es2023 --lib es2023,dom,dom.iterable --types".split(" ");
  execFileSync(compiler, [...options, "", "pay.mts"], { cwd: project, stdio: "inherit" });
}, 60_000);

test("the bundle that the browser tests run is this example", () => {
  execFileSync("npm", ["run", "--silent", "bundle-example", "--", "--file", join(project, "bundle.js")], {
    cwd: client,
  });
  const committed = readFileSync(resolve(client, "../e2e/testdata/example.js"), "utf8");
  // Else: npm run bundle-example --workspace client
  expect(committed === readFileSync(join(project, "bundle.js"), "utf8")).toBe(true);
}, 60_000);
