import { openings, words } from "./words.js";

const phrases = words.map(({ not, but }) => ({
  pattern: new RegExp(`(?<![\\w-])(?:${not.replaceAll(" ", "\\s+")})(?![\\w-])`, "gi"),
  but,
}));
const OPENING = `(?:${openings.join("|")})\\b(?!-)`;
/** The first sentence of a text, and a later one. */
const FIRST = new RegExp(`^[\\s*_]*${OPENING}`, "g");
const LATER = new RegExp(`(?<=[a-z\\d\`)*"][.!?][)*]*\\s+[*_]*)${OPENING}`, "g");

const TITLE = /^(?:it|test|describe)$/;

const messages = {
  phrase: 'Plain words: not "{{found}}", but: {{but}} (lint/words.js)',
  opening: 'Plain words: no sentence begins with "{{found}}"; name the actor first',
};

/** Replaces what is no prose by as many spaces, so that offsets stay. */
function blank(text, ...patterns) {
  return patterns.reduce((rest, pattern) => rest.replace(pattern, (found) => found.replaceAll(/[^\n]/g, " ")), text);
}

/** Reports every phrase, and every opening if the text has sentences, at its place in the file. */
function check(context, text, start, hasSentences) {
  const report = (messageId, match, data) => {
    const at = start + match.index + match[0].search(/[^\s*_]/);
    const { sourceCode } = context;
    context.report({
      loc: { start: sourceCode.getLocFromIndex(at), end: sourceCode.getLocFromIndex(start + match.index + match[0].length) },
      messageId,
      data: { found: match[0].replaceAll(/[*_]/g, "").trim().replaceAll(/\s+/g, " "), ...data },
    });
  };
  for (const { pattern, but } of phrases) for (const match of text.matchAll(pattern)) report("phrase", match, { but });
  if (hasSentences) for (const pattern of [FIRST, LATER]) for (const match of text.matchAll(pattern)) report("opening", match);
}

/** Joins line comments that follow each other, since a sentence goes on in the next. */
function joinComments(comments, sourceCode) {
  const ranges = [];
  let previous;
  for (const comment of comments) {
    const follows =
      previous?.type === "Line" &&
      comment.type === "Line" &&
      /^\s*$/.test(sourceCode.text.slice(previous.range[1], comment.range[0])) &&
      comment.loc.start.line === previous.loc.end.line + 1;
    if (follows) ranges.at(-1)[1] = comment.range[1];
    else ranges.push([...comment.range]);
    previous = comment;
  }
  return ranges;
}

function calledName({ callee }) {
  let node = callee;
  while (node.type === "CallExpression" || node.type === "MemberExpression" || node.type === "TaggedTemplateExpression")
    node = node.type === "CallExpression" ? node.callee : node.type === "MemberExpression" ? node.object : node.tag;
  return node.type === "Identifier" ? node.name : "";
}

const comments = {
  meta: { type: "suggestion", schema: [], messages, docs: { description: "Keep comments and docstrings in plain words" } },
  create: (context) => ({
    Program() {
      const { sourceCode } = context;
      for (const [start, end] of joinComments(sourceCode.getAllComments(), sourceCode)) {
        const text = sourceCode.text.slice(start, end);
        check(context, blank(text, /^\/\*+|^\/\/|\*\/$/g, /\n[ \t]*(?:\*|\/\/)/g, /`[^`]*`/g), start, true);
      }
    },
  }),
};

const titles = {
  meta: { type: "suggestion", schema: [], messages, docs: { description: "Keep the titles of tests in plain words" } },
  create: (context) => ({
    CallExpression(node) {
      const [title] = node.arguments;
      if (title === undefined || !TITLE.test(calledName(node))) return;
      if (title.type === "Literal" || title.type === "TemplateLiteral")
        check(context, context.sourceCode.getText(title), title.range[0], false);
    },
  }),
};

const strings = {
  meta: { type: "suggestion", schema: [], messages, docs: { description: "Keep texts that users read in plain words" } },
  create: (context) => {
    const visit = (node) => {
      check(context, context.sourceCode.getText(node), node.range[0], false);
    };
    return { "Literal[value=/ /]": visit, TemplateElement: visit };
  },
};

const markdown = {
  meta: { type: "suggestion", schema: [], messages, docs: { description: "Keep documents in plain words" } },
  create: (context) => {
    const visit = (hasSentences) => (node) => {
      const text = blank(context.sourceCode.getText(node), /`[^`]*`/g, /\]\([^)]*\)/g, /<[^>]*>/g);
      check(context, text, node.position.start.offset, hasSentences);
    };
    return { paragraph: visit(true), heading: visit(false), tableCell: visit(false) };
  },
};

export default { meta: { name: "plain-words" }, rules: { comments, titles, strings, markdown } };
