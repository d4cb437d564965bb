" Written by editors/generate from docs/grammar.ebnf.
if exists("b:current_syntax")
  finish
endif
syntax case match
syntax iskeyword @,48-57,_,-,.

" Of several that match at a place the last one here counts.
syntax match meritName /\<[A-Za-z_]\k*\>/ contained
syntax match meritNumber /\<\d\k*\>/
syntax match meritClause /\<\%(policy\|version\|lattice\|zone\|clears\|pue\|carbon\|average\|marginal\|sink\|holds\|adds\|price\|energy\|timeout\|carries\|model\|endpoint\|provider\|as\|key\|env\|file\|context\|output\|can\|effort\|by\|listed\|since\|from\|quality\|estimate\|demo\|dns\|srv\|engine\|weight\|slots\|rate\|region\|serves\|to\|meter\|maintenance\|metrics\|health\|reasoning_effort\|template\|thinking\|out\|cached\|written\|gpu\|batch\|alias\|routes\|route\|pass\|at\|most\|signal\|label\|above\|below\|on_error\|bands\|temperature\|margin\|otherwise\|when\|path\|else\|refuse\|escalate\|retry\|cap\|hedge\|minimise\|maximise\|within\|where\|risk\|forbid\|step\|require\|allow\|budget\|per\|hard\|cheaper\|strict\|paced\|dispatch\|least_request\|power_of_two\|round_robin\|weights\|second\|kWh\|kg\|prove\|test\|corpus\|given\|expect\|user\|never\|no\|reaches\|every\|passes\|feasible\|agree\|costs\|assume\)\>/
syntax match meritOperatorWord /\<\%(and\|or\|not\|in\)\>/
syntax match meritConstant /\<\%(true\|false\|any\)\>/
syntax match meritCall /\<[A-Za-z_]\k*\ze(/
syntax match meritOperator /->\|[=!<>]=\|[=<>|]/
syntax match meritStatement /^\%(policy\|lattice\|zone\|sink\|model\|alias\|pass\|signal\|path\|route\|otherwise\|forbid\|require\|allow\|budget\|dispatch\|prove\|test\|assume\)\>/ nextgroup=meritName skipwhite
syntax match meritEscape /\\./ contained
syntax region meritString start=/"/ skip=/\\./ end=/"/ oneline contains=meritEscape
syntax match meritComment /#.*$/

highlight default link meritStatement Statement
highlight default link meritClause Keyword
highlight default link meritOperatorWord Operator
highlight default link meritOperator Operator
highlight default link meritConstant Constant
highlight default link meritNumber Number
highlight default link meritString String
highlight default link meritEscape SpecialChar
highlight default link meritComment Comment
highlight default link meritName Identifier
highlight default link meritCall Function

let b:current_syntax = "merit"
