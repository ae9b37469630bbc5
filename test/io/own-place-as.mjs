import process from "node:process";
import { refuseForeignPlace } from "../../build/io/own-place.js";

// Asks, as another user, whether something may be made at a place, and prints what comes of it.
const [uid, path, home] = process.argv.slice(2);
process.seteuid(Number(uid));
try {
  refuseForeignPlace(path, home);
  process.stdout.write("done");
} catch (error) {
  process.stdout.write(`${error.code}: ${error.message} (${error.hint})`);
}
