/**
 * Phrases that read as translated, and plain ones to use in their place.
 *
 * `not` is a regular expression between word boundaries, whatever its case; a space in it matches a line break, too.
 */
export const words = [
  { not: "anew", but: "again" },
  { not: "again and again", but: "repeatedly" },
  { not: "hand(?:s|ed|ing)? (?:it |them )?(?:over|on)", but: "pass, push" },
  { not: "by itself", but: "automatically" },
  { not: "in step", but: "in sync" },
  { not: "known of itself", but: "name the actor" },
  { not: "(?:is|are|be|was|were|been|being) told", but: "report, log, notify" },
  { not: "tells? of", but: "report" },
  { not: "looked? at|looks at|looking at", but: "scan, read, check" },
  { not: "(?:a|the|one|each|every|last|next|first|this|that) look", but: "scan" },
  { not: "descends? from|descended from", but: "comes from, is newer than" },
  { not: "what is overwritten", but: "the old login" },
  { not: "(?<!locks? )(?:is|are|was) held(?! by)", but: "has; is on hold (the state)" },
  { not: "neither well nor ill", but: "name the state" },
  { not: "for want of", but: "without, for lack of" },
  { not: "cannot be told", but: "is unknown" },
  { not: "none where", but: "none if" },
  { not: "the very", but: "the, this same" },
  { not: "(?:is|are|was) to be", but: "must, will, should" },
  { not: "makes? good", but: "catches up, repairs" },
  { not: "in the place of", but: "instead of" },
  { not: "ever (?:less|later)", but: "less and less often, later each time" },
  { not: "nothing shows that", but: "credsyncd has not seen" },
];

/** Words that begin no sentence: they put off the actor and the verb. */
export const openings = ["What", "Whether", "Who", "Whose", "That", "Where", "Of"];
