import { defineConfig } from "vitest/config";

/** Tests with a real systemd and journald; started by test/system/service/in-systemd, apart from `npm test`. */
export default defineConfig({
  test: {
    include: ["test/system/service/**/*.test.ts"],
    globalSetup: ["test/support/build.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
