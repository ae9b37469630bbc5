import { execFileSync } from "node:child_process";

/** Builds the program once, so that tests can run it as a user would. */
export default function build(): void {
  execFileSync("npm", ["run", "--silent", "build"], { stdio: "inherit" });
}
