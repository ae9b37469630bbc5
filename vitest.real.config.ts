import { defineConfig } from "vitest/config";

/** Tests with the real programs, which are installed on the way; apart from `npm test`. */
export default defineConfig({
  test: {
    include: ["test/system/**/*.test.ts"],
    globalSetup: ["test/support/build.ts", "test/system/install.ts"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    fileParallelism: false,
  },
});
