// The stories that the page tells: what is set, what is asked, and what is to be seen then. Data alone, without a run.
//
// Every number in a sentence stands in braces and is taken from the run that is shown; claims.js says what each name
// means. A sentence is shown only where its claims hold in that run. On the bundled model they do:
// tests/server/test_stories.py asks each of them. What was measured when they were found, on `storyteller`:
//
//   copy      ·spoon 0.987; without 6.head.5 0.968; without 6.head.5, 6.head.7 and 6.head.10 0.865
//   pronoun   7.head.1 reads ·Tim 0.742, Sara 0.071; without it ·his 0.968 -> 0.891, ·her 0.025 -> 0.102
//   quote     7.head.9 reads ·" 0.937; without 6.head.2, 6.head.8 and 7.head.9 the token ," 0.613 -> 0.141
//   order     ·cat 0.537, ·dog 0.240; without positions ·dog 0.568; the loss 2.19 -> 4.62
//   mlp       loss 0.583; without one MLP, the first to the last: 7.54 0.53 0.59 0.58 0.66 0.62 0.70 0.80
//   sink      6.head.10 reads Once 0.979; without it ·girl 0.702 -> 0.707
//   previous  4.head.3 reads the token before it 0.92 on average; without it the loss 2.07 -> 2.03
//   against   ·she 0.564; without 7.mlp 0.799

/**
 * A claim compares a measure with a number, a word or another measure.
 * @typedef {[measure: string, is: "<" | ">" | "=", than: string | number]} Claim
 */
/**
 * What is set (all else is as usual), what is said of it, and on what grounds.
 * @typedef {{ switches: string[], at: string, said: string, claims: Claim[], more?: string }} Step
 */
/**
 * @typedef {{
 *   name: string, title: string, text: string, question: string, guesses: string[], right: number, steps: Step[],
 * }} Story
 */

export const FOUND_ON = "storyteller"; // the bundled model

/** @type {Story[]} */
export const STORIES = [
  {
    name: "copy",
    title: "Who copies the spoon?",
    text: "The cat had a blue spoon. One day, the cat lost the blue",
    question:
      "After the second “blue” the model says “spoon”. One head of block 6 reads almost nothing but “spoon”. " +
      "It is switched off. Does the model still say it?",
    guesses: ["yes, almost as surely", "yes, but not half as surely", "no, another word"],
    right: 0,
    steps: [
      {
        switches: ["6.head.5"],
        at: "6.head.5",
        said:
          "Without head 6.5: ·spoon {before ·spoon} → {p ·spoon}. It puts {weight 6.head.5 ·spoon} of its weight on " +
          "·spoon, but head 6.7 reads it too ({weight 6.head.7 ·spoon}), and 6.10 ({weight 6.head.10 ·spoon}).",
        claims: [
          ["p ·spoon", ">", 0.9],
          ["p ·spoon", "<", "before ·spoon"],
          ["weight 6.head.5 ·spoon", ">", 0.8],
          ["weight 6.head.7 ·spoon", ">", 0.5],
          ["weight 6.head.10 ·spoon", ">", 0.5],
        ],
        more: "switch all three off",
      },
      {
        switches: ["6.head.5", "6.head.7", "6.head.10"],
        at: "6.head.10",
        said:
          "Without 6.5, 6.7 and 6.10: ·spoon {before ·spoon} → {p ·spoon}. Together they do more than one alone, " +
          "and the word stays likely: these three are not all of it.",
        claims: [
          ["p ·spoon", "<", 0.93],
          ["p ·spoon", ">", 0.5],
        ],
      },
    ],
  },
  {
    name: "pronoun",
    title: "His or her dad?",
    text: "Sara went to the park with her dad. Tim went to the park with",
    question: "The text has “her” before, and the model says “his”. From which word does head 7.1 read most here?",
    guesses: ["Sara", "her", "Tim"],
    right: 2,
    steps: [
      {
        switches: [],
        at: "7.head.1",
        said:
          "Head 7.1 puts {weight 7.head.1 ·Tim} of its weight on ·Tim, {weight 7.head.1 Sara} on Sara. " +
          "The model expects ·his {p ·his}, ·her {p ·her}.",
        claims: [
          ["weight 7.head.1 ·Tim", ">", 0.5],
          ["weight 7.head.1 Sara", "<", 0.3],
          ["top", "=", "·his"],
        ],
        more: "switch the head off",
      },
      {
        switches: ["7.head.1"],
        at: "7.head.1",
        said:
          "Without it: ·his {before ·his} → {p ·his}, ·her {before ·her} → {p ·her}. " +
          "The head speaks for the right word; others do so too.",
        claims: [
          ["p ·his", "<", "before ·his"],
          ["p ·her", ">", "before ·her"],
          ["p ·her", ">", 0.05],
          ["top", "=", "·his"],
        ],
      },
    ],
  },
  {
    name: "quote",
    title: "Somebody is still speaking",
    text: 'The teacher waited. "I saw a star fall down',
    question:
      "The likeliest token is a comma together with a closing quotation mark. " +
      "The opening mark stands six tokens back. Where does head 7.9 look?",
    guesses: ["at the last word", "at the opening mark", "at the first token"],
    right: 1,
    steps: [
      {
        switches: [],
        at: "7.head.9",
        said: 'Head 7.9 puts {weight 7.head.9 ·"} of its weight on the opening mark. The token ," has {p ,"}.',
        claims: [
          ['weight 7.head.9 ·"', ">", 0.8],
          ["top", "=", ',"'],
        ],
        more: "switch off this head and two of block 6",
      },
      {
        switches: ["6.head.2", "6.head.8", "7.head.9"],
        at: "7.head.9",
        said: 'Without 6.2, 6.8 and 7.9: the token ," {before ,"} → {p ,"}, and {top} is the likeliest now.',
        claims: [
          ['p ,"', "<", 0.25],
          ['before ,"', ">", 0.5],
          ["top", "=", "·and"],
        ],
      },
    ],
  },
  {
    name: "order",
    title: "Who chased whom?",
    text: "The cat chased the dog. The dog chased the",
    question: "The position table is what tells the model the order of the words. Without it, what does it say here?",
    guesses: ["the cat, as before", "the dog", "no animal at all"],
    right: 1,
    steps: [
      {
        switches: ["embed.pos"],
        at: "embed.pos",
        said:
          "Without positions the dog chases the dog: ·cat {before ·cat} → {p ·cat}, ·dog {before ·dog} → {p ·dog}. " +
          "Loss {lossbefore} → {loss}.",
        claims: [
          ["top", "=", "·dog"],
          ["p ·cat", "<", 0.1],
          ["before ·cat", ">", "before ·dog"],
          ["loss", ">", "lossbefore"],
        ],
      },
    ],
  },
  {
    name: "mlp",
    title: "The first, the middle, the last",
    text: "Once upon a time there was a little",
    question: "One MLP is switched off. Without which one does the model lose most on this text?",
    guesses: ["the first", "one in the middle", "the last"],
    right: 0,
    steps: [
      {
        switches: ["0.mlp"],
        at: "0.mlp",
        said:
          "Without the first, MLP 0: loss {lossbefore} → {loss}, and the likeliest token is {top}, {ptop}. " +
          "All later blocks read what it writes.",
        claims: [
          ["loss", ">", 5],
          ["lossbefore", "<", 1],
        ],
        more: "one in the middle instead",
      },
      {
        switches: ["3.mlp"],
        at: "3.mlp",
        said: "Without MLP 3: loss {lossbefore} → {loss}. The text is about as easy as before.",
        claims: [
          ["loss", "<", 0.8],
          ["lossbefore", ">", 0.4],
        ],
        more: "the last one instead",
      },
      {
        switches: ["7.mlp"],
        at: "7.mlp",
        said: "Without the last, MLP 7: loss {lossbefore} → {loss}.",
        claims: [
          ["loss", ">", "lossbefore"],
          ["loss", "<", 1.5],
        ],
      },
    ],
  },
  {
    name: "sink",
    title: "A head that looks away",
    text: "Once upon a time there was a little",
    question:
      "In the first story head 6.10 reads “spoon”. What does it read here, where no word has come twice but “a”?",
    guesses: ["the word before", "the first token", "a bit of everything"],
    right: 1,
    steps: [
      {
        switches: [],
        at: "6.head.10",
        said:
          "It puts {weight 6.head.10 Once} of its weight on the first token. It is not alone: {sinks} of the " +
          "{heads} heads put more than half of theirs there, on average over the rows after the first.",
        claims: [
          ["weight 6.head.10 Once", ">", 0.9],
          ["sinks", ">", 25],
        ],
        more: "switch the head off",
      },
      {
        switches: ["6.head.10"],
        at: "6.head.10",
        said: "Without it: ·girl {before ·girl} → {p ·girl}. A head's weights sum to 1, so they must lie somewhere.",
        claims: [
          ["p ·girl", ">", 0.65],
          ["p ·girl", "<", 0.75],
          ["before ·girl", ">", 0.65],
          ["before ·girl", "<", 0.75],
        ],
      },
    ],
  },
  {
    name: "previous",
    title: "Always one back",
    text: "Tom and Sue ran to the park, and they played with",
    question: "Head 4.3 does much the same on every row. What does it read?",
    guesses: ["the token itself", "the token before", "the first token"],
    right: 1,
    steps: [
      {
        switches: [],
        at: "4.head.3",
        said: "On average a row puts {previous 4.head.3} of the head's weight on the token just before it.",
        claims: [["previous 4.head.3", ">", 0.8]],
        more: "switch it off",
      },
      {
        switches: ["4.head.3"],
        at: "4.head.3",
        said:
          "Without it: loss {lossbefore} → {loss}, so it is hardly missed on this text. " +
          "Where tokens come twice it is missed more: `gpt2 explain heads` measures that.",
        claims: [
          ["loss", ">", 1.9],
          ["loss", "<", 2.3],
          ["lossbefore", ">", 1.9],
        ],
      },
    ],
  },
  {
    name: "against",
    title: "A part that holds back",
    text: "Lily was a happy girl. One day,",
    question: "The model expects “she” here. The last MLP is switched off. What becomes of “she”?",
    guesses: ["less likely", "about the same", "likelier"],
    right: 2,
    steps: [
      {
        switches: ["7.mlp"],
        at: "7.mlp",
        said:
          "Without the last MLP: ·she {before ·she} → {p ·she}. It speaks against the likeliest word here, " +
          "and for others. Being surer is not being better: the loss goes {lossbefore} → {loss}.",
        claims: [
          ["p ·she", ">", "before ·she"],
          ["p ·she", ">", 0.7],
          ["loss", ">", "lossbefore"],
        ],
      },
    ],
  },
];
