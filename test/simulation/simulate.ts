import type { Violation } from "./judge.js";
import { Random } from "./random.js";
import { drawSetting, withFencing, withMainAsOwnTarget, withNamedAgents, withWrongEnds, type Setting } from "./setting.js";
import { drawSteps, withEnds, withFences, withOwnTarget, withRenewals, type Step } from "./steps.js";
import { World } from "./world.js";

/** The meaning of a seed. */
export interface Story {
  readonly setting: Setting;
  readonly steps: readonly Step[];
}

export interface Outcome {
  readonly violation: Violation | null;
  readonly counts: ReadonlyMap<string, number>;
}

/** Sets the stream of what came later apart from the seed's own. */
const FENCES = 0x5f_0000_0000;

/** Sets the stream of the source that is a target apart. */
const OWN_TARGET = 0x6a_0000_0000;

/** And that of wrong ends. */
const ENDS = 0x7b_0000_0000;

/** And that of agents that surely refreshed. */
const RENEWALS = 0x8c_0000_0000;

export function drawStory(seed: number): Story {
  const story = drawEndsStory(seed);
  const random = new Random(RENEWALS + seed);
  const { ends, calm, sourceIs } = story.setting;
  if (ends !== true || calm || sourceIs !== "claude" || !random.chance(0.3)) return story;
  return { setting: withNamedAgents(story.setting), steps: withRenewals(random, story.steps) };
}

/** The story of a seed as it was when ends were wrong, but few agents named their account. */
export function drawEndsStory(seed: number): Story {
  const story = drawOwnTargetStory(seed);
  const random = new Random(ENDS + seed);
  if (random.chance(0.4)) return story;
  const setting = withWrongEnds(random, story.setting);
  return { setting, steps: withEnds(random, story.steps, setting) };
}

/** The story of a seed as it was when the source could be one of the targets, and every end was right. */
export function drawOwnTargetStory(seed: number): Story {
  const story = drawFencesStory(seed);
  const random = new Random(OWN_TARGET + seed);
  if (story.setting.calm || !random.chance(story.setting.sourceIs === "main" ? 0.6 : 0.15)) return story;
  return { setting: withMainAsOwnTarget(random, story.setting), steps: withOwnTarget(random, story.steps) };
}

/** The story of a seed as it was before the source was one of the targets in the model. */
export function drawFencesStory(seed: number): Story {
  const story = drawEarlyStory(seed);
  const random = new Random(FENCES + seed);
  // In a calm world nobody but the source's program refreshes.
  if (story.setting.calm || random.chance(story.setting.sourceIs === "main" ? 0.1 : 0.5)) return story;
  return { setting: withFencing(story.setting), steps: withFences(random, story.steps) };
}

/** The story of a seed as it was before there were fences in the model. */
export function drawEarlyStory(seed: number): Story {
  const random = new Random(seed);
  const setting = drawSetting(random);
  return { setting, steps: drawSteps(random, setting) };
}

/** Lets a story happen up to its first violation. */
export async function live({ setting, steps }: Story, trace: string[] | null): Promise<Outcome> {
  const world = new World(setting, trace);
  const { violations } = world.judge;
  for (const step of steps) {
    await world.perform(step);
    if (violations.length > 0) break;
  }
  if (violations.length === 0) await world.settle();
  if (trace !== null) trace.push("— at the end —", ...world.describe());
  return { violation: violations[0] ?? null, counts: world.counts };
}

/** Leaves out everything without which the same rule still is broken. */
async function shrink(story: Story, rule: string): Promise<Story> {
  const stillBroken = async (steps: readonly Step[]): Promise<boolean> => {
    const { violation } = await live({ ...story, steps }, null);
    return violation?.rule === rule;
  };
  let { steps } = story;
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size > 1 ? Math.floor(size / 2) : 0) {
    steps = await dropRuns(steps, size, stillBroken);
  }
  steps = await dropInterruptions(steps, stillBroken);
  return { ...story, steps: await dropRuns(steps, 1, stillBroken) };
}

type StillBroken = (steps: readonly Step[]) => Promise<boolean>;

async function dropRuns(steps: readonly Step[], size: number, stillBroken: StillBroken): Promise<readonly Step[]> {
  let kept = steps;
  for (let at = 0; at < kept.length;) {
    const without = kept.toSpliced(at, size);
    if (await stillBroken(without)) kept = without;
    else at += size;
  }
  return kept;
}

async function dropInterruptions(steps: readonly Step[], stillBroken: StillBroken): Promise<readonly Step[]> {
  let kept = steps;
  for (let at = 0; at < kept.length; at++) {
    const step = kept[at];
    if (step === undefined || !("during" in step)) continue;
    let { during } = step;
    for (let index = 0; index < during.length;) {
      const without = kept.with(at, { ...step, during: during.toSpliced(index, 1) });
      if (await stillBroken(without)) {
        kept = without;
        during = during.toSpliced(index, 1);
      } else index += 1;
    }
  }
  return kept;
}

/** A failure as a person reads it: the seed, the rule, and the shortest story that was found. */
export async function explain(seed: number): Promise<string> {
  const story = drawStory(seed);
  const { violation } = await live(story, null);
  if (violation === null) return `seed ${String(seed)}: no rule is broken`;
  const short = await shrink(story, violation.rule);
  const trace: string[] = [];
  const outcome = await live(short, trace);
  const found = outcome.violation ?? violation;
  return [
    `seed ${String(seed)} breaks ${found.rule}: ${found.words}`,
    `setting: ${JSON.stringify(short.setting)}`,
    ...trace.map((line) => `  ${line}`),
  ].join("\n");
}
