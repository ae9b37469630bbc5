import { describe, expect, onTestFinished, test } from "vitest";
import { DatabaseNews } from "../../src/daemon/database-news.js";
import { becomes } from "../support/condition.js";

const DATABASE = "/agents/main/agent/openclaw-agent.sqlite";

/** News of one database, whose rows change when the test says so. */
function listening() {
  const rows = { isNews: false, asked: 0 };
  const told: string[] = [];
  const news = new DatabaseNews({
    databases: {
      databaseOf: (file) => (file.startsWith(DATABASE) ? DATABASE : null),
      isNews: () => {
        rows.asked += 1;
        return rows.isNews;
      },
    },
    onNews: (path) => told.push(path),
  });
  onTestFinished(() => {
    news.close();
  });
  return { news, rows, told };
}

describe("an event on a database", () => {
  test("counts as it stands before anything was decided", () => {
    const { news } = listening();
    expect(news.takes(DATABASE)).toBe(false);
  });

  test("counts only if its rows changed, and leaves events on other files alone", () => {
    const { news, rows, told } = listening();
    news.looked({ isDecided: true });
    expect([news.takes(`${DATABASE}-wal`), news.takes("/elsewhere")]).toEqual([true, false]);
    expect([rows.asked, told]).toEqual([1, []]);
  });

  test("counts at once if its rows changed", () => {
    const { news, rows, told } = listening();
    news.looked({ isDecided: true });
    rows.isNews = true;
    expect(news.takes(DATABASE)).toBe(true);
    expect(told).toEqual([DATABASE]);
  });

  test("is asked about at once, and about all that follow in a moment once more", async () => {
    const { news, rows, told } = listening();
    news.looked({ isDecided: true });
    for (let count = 0; count < 100; count++) expect(news.takes(DATABASE)).toBe(true);
    expect(rows.asked).toBe(1);
    rows.isNews = true;
    await becomes(() => told, [DATABASE]);
    expect(rows.asked).toBe(2);
  });

  test("during a scan is judged after the scan", () => {
    const { news, rows, told } = listening();
    news.looked({ isDecided: true });
    news.looking();
    expect(news.takes(DATABASE)).toBe(true);
    expect([rows.asked, told]).toEqual([0, []]);
    rows.isNews = true;
    news.looked({ isDecided: true });
    expect(told).toEqual([DATABASE]);
  });

  test("during a scan that wrote always counts: nobody judged the rows that it read back", () => {
    const { news, rows, told } = listening();
    news.looked({ isDecided: true });
    news.looking();
    news.takes(DATABASE);
    news.looked({ isDecided: false });
    expect([rows.asked, told]).toEqual([0, [DATABASE]]);
    expect(news.takes(DATABASE)).toBe(false);
  });

  test("is not asked about after the end", async () => {
    const { news, rows } = listening();
    news.looked({ isDecided: true });
    news.takes(DATABASE);
    news.takes(DATABASE);
    news.close();
    await becomes(() => rows.asked, 1);
  });
});
