import { averageByGroup } from "./average-by-group.ts";
import { buildDataframe } from "./build-dataframe.ts";
import { downloadCleanCsv } from "./download-clean-csv.ts";
import { expressAddPost } from "./express-add-post.ts";
import { expressHello } from "./express-hello.ts";
import { installDataScience } from "./install-data-science.ts";
import type { Recipe } from "./recipe.ts";
import { topByMaximum } from "./top-by-maximum.ts";

/** Every recipe there is. Listings and docs/recipes.md are derived from it. */
export const RECIPES: readonly Recipe[] = [
  installDataScience,
  buildDataframe,
  downloadCleanCsv,
  averageByGroup,
  topByMaximum,
  expressHello,
  expressAddPost,
];

export function findRecipe(name: string): Recipe | undefined {
  return RECIPES.find((recipe) => recipe.name === name);
}
