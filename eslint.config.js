// What ESLint checks in the page's script, its tests, and the site's one script. Prettier decides how lines look.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "array-callback-return": "error",
      "consistent-return": "error",
      curly: ["error", "multi-line", "consistent"],
      eqeqeq: "error",
      "no-eval": "error",
      "no-implicit-coercion": "error",
      "no-param-reassign": "error",
      "no-restricted-syntax": [
        "error",
        {
          selector:
            "CallExpression[callee.property.name=/^(max|min|push|unshift|append|prepend|replaceChildren|" +
            "fromCharCode|fromCodePoint)$/] > SpreadElement",
          message: "A call with very many arguments fails, as on a long text: go through them one by one.",
        },
      ],
      "no-sequences": "error", // two statements are written as two
      "no-shadow": ["error", { allow: ["_"] }],
      "no-unused-expressions": "error",
      "no-unused-vars": ["error", { args: "all", argsIgnorePattern: "^_$" }],
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "off", // a long sentence is two strings
    },
  },
  { files: ["gpt2/**", "docs/**"], languageOptions: { globals: globals.browser } },
  {
    files: ["tests/**", "*.config.js"],
    languageOptions: { globals: { ...globals.node, document: "readonly", location: "readonly" } },
  },
];
