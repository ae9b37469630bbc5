import { defineConfig } from "vitest/config";

/** Tests with the real programs, which are installed on the way; apart from `npm test`. */
export default defineConfig({
  test: {
    include: ["test/system/**/*.test.ts"],
    exclude: ["test/system/service/**"],
    globalSetup: ["test/support/build.ts", "test/system/install.ts"],
    testTimeout: 900_000,
    hookTimeout: 900_000,
    fileParallelism: false,
    reporters: ["default", "./test/system/table-reporter.ts"],
  },
});
