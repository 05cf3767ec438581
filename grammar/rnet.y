/* rnet.y: the whole surface syntax, LALR(1) without conflicts. It knows no layer by name. Each action is one constructor call;
   every value is a node, lists are carried in the `list` of a node that the parent takes it from.
   After an error the parser goes on at the end of the statement: the scanner side (src/syntax/parse.c) skips to it. */
%code requires {
#include "tokens.h"
}
%define api.pure full
%define api.prefix {rnet_}
%define api.token.prefix {TOKEN_}
%define api.value.type {struct node *}
%define api.location.type {struct range}
%define parse.error custom
%define parse.lac full
%locations
%expect 0
%param {struct parser *parser}
%code {
int rnet_lex(struct node **value, struct range *at, struct parser *parser);
static void rnet_error(struct range *at, struct parser *parser, const char *what);

#define YYLLOC_DEFAULT(Current, Rhs, N)                                                                                \
    ((Current).begin = (N) ? YYRHSLOC(Rhs, 1).begin : YYRHSLOC(Rhs, 0).end,                                            \
     (Current).end = (N) ? YYRHSLOC(Rhs, N).end : YYRHSLOC(Rhs, 0).end)
#define TREE(node_kind, at, ...) tree_new(parser, (at), (struct node){.kind = (node_kind), __VA_ARGS__})
#define NAMED(node) .name = (node)->name, .name_span = (node)->span
#define BINARY(operation, left, right, at) TREE(NODE_BINARY, at, .op = (operation), .a = (left), .b = (right))
}

%token YYEOF 0 "end of file"
%token NAME "name" NUMBER "number" STRING "string" NEWLINE "end of line" COMMENT "comment" STRAY "unknown character"
%token USE "'use'" LET "'let'" FN "'fn'" LAYER "'layer'" MODEL "'model'" RULE "'rule'" DATA "'data'" TRAIN "'train'" EXPERIMENT "'experiment'"
%token EXPECT "'expect'" CLAIM "'claim'"
%token PARAM "'param'" STATE "'state'" IF "'if'" THEN "'then'" ELSE "'else'" OVER "'over'" FROM "'from'" REPEAT "'repeat'"
%token IN "'in'" ON "'on'" PER "'per'" ALL "'all'" RANDOM "'random'" AND "'and'" OR "'or'" NOT "'not'" REDUCE "reduction"
%token PIPE "'|>'" ARROW "'->'" UPDATE "'<-'" DOTS "'...'" FLOORDIV "'//'" EQ "'=='" NE "'!='" LE "'<='" GE "'>='"

/* Lowest first. TITLE: a string after `expect` is its title, whatever follows. SUM is a reduction: above + and below *, so that it
   takes the whole product after it and nothing more. */
%precedence TITLE
%precedence LONGIF
%left OR
%left AND
%precedence NOT
%nonassoc EQ NE LE GE '<' '>'
%left '+' '-'
%precedence SUM
%left '*' '/' FLOORDIV '%'
%precedence NEGATE
%right '^'
%%

/* ---- a file ---- */
file: items  { parser->file = TREE(NODE_FILE, @$, .list = $1->list); }
    | %empty { parser->file = TREE(NODE_FILE, @$, .flag = false); } ;
items: item               { $$ = tree_list(parser, $1); }
     | items NEWLINE item { $$ = tree_append(parser, $1, $3); } ;
item: USE NAME                     { $$ = TREE(NODE_USE, @$, NAMED($2)); }
    | USE STRING                   { $$ = TREE(NODE_USE, @$, .name = $2->text, .name_span = $2->span, .flag = true); }
    | LET NAME '=' pipe            { $$ = TREE(NODE_LET, @$, NAMED($2), .a = $4); }
    | FN NAME groups_opt fn_params '=' pipe
        { $$ = TREE(NODE_FN, @$, NAMED($2), .flag = $3->flag, .more = $3->list, .list = $4->list, .a = $6); }
    | FN NAME groups_opt fn_params ARROW NAME block
        { $$ = TREE(NODE_FN, @$, NAMED($2), .flag = $3->flag, .more = $3->list, .list = $4->list, .result = $6->name, .a = $7); }
    | LAYER NAME '(' inputs settings ')' ARROW outputs block
        { $$ = TREE(NODE_LAYER, @$, NAMED($2), .list = $4->list, .more = $5->list, .b = $8, .a = $9); }
    | MODEL NAME '(' inputs settings ')' ARROW outputs block
        { $$ = TREE(NODE_MODEL, @$, NAMED($2), .list = $4->list, .more = $5->list, .b = $8, .a = $9); }
    | RULE NAME '(' inputs settings ')' block
        { $$ = TREE(NODE_RULE, @$, NAMED($2), .list = $4->list, .more = $5->list, .a = $7); }
    | RULE NAME '(' inputs settings ')' ARROW outputs block
        { $$ = TREE(NODE_RULE, @$, NAMED($2), .list = $4->list, .more = $5->list, .b = $8, .a = $9); }
    | DATA NAME block              { $$ = TREE(NODE_DATA, @$, NAMED($2), .a = $3); }
    | DATA NAME IN STRING block    { $$ = TREE(NODE_DATA, @$, NAMED($2), .b = $4, .a = $5); }
    | DATA NAME FROM path block    { $$ = TREE(NODE_DATA, @$, NAMED($2), .b = $4, .a = $5, .flag = true); }
    | TRAIN NAME block             { $$ = TREE(NODE_TRAIN, @$, NAMED($2), .a = $3); }
    | TRAIN NAME ON path block     { $$ = TREE(NODE_TRAIN, @$, NAMED($2), .b = $4, .a = $5); }
    | EXPERIMENT NAME block        { $$ = TREE(NODE_EXPERIMENT, @$, NAMED($2), .a = $3); }
    | error                        { $$ = NULL; yyclearin; yyerrok; } ;

/* ---- headers ---- */
groups_opt: %empty       { $$ = tree_list(parser, NULL); }
          | '[' subs ']' { $$ = $2; $$->flag = true; } ;
fn_params: %empty               { $$ = tree_list(parser, NULL); }
         | '(' ')'              { $$ = tree_list(parser, NULL); }
         | '(' setting_list ')' { $$ = $2; } ;
inputs: %empty { $$ = tree_list(parser, NULL); } | input_list ;
input_list: input                { $$ = tree_list(parser, $1); }
          | input_list ',' input { $$ = tree_append(parser, $1, $3); } ;
input: NAME kind              { $$ = TREE(NODE_INPUT, @$, NAMED($1), .a = $2); }
     | NAME '[' subs ']' kind { $$ = TREE(NODE_INPUT, @$, NAMED($1), .flag = true, .list = $3->list, .a = $5); } ;
kind: %empty { $$ = NULL; } | IN bound { $$ = $2; } ;
bound: NAME         { $$ = tree_path(parser, @$, NULL, $1); }
     | NUMBER
     | '(' expr ')' { $$ = TREE(NODE_GROUPED, @$, .a = $2); } ;
settings: %empty { $$ = tree_list(parser, NULL); } | ';' setting_list { $$ = $2; } ;
setting_list: setting                  { $$ = tree_list(parser, $1); }
            | setting_list ',' setting { $$ = tree_append(parser, $1, $3); } ;
setting: NAME                   { $$ = TREE(NODE_SETTING, @$, NAMED($1)); }
       | NAME '=' expr          { $$ = TREE(NODE_SETTING, @$, NAMED($1), .a = $3); }
       | NAME ':' type          { $$ = TREE(NODE_SETTING, @$, NAMED($1), .text = $3->name); }
       | NAME ':' type '=' expr { $$ = TREE(NODE_SETTING, @$, NAMED($1), .text = $3->name, .a = $5); } ;
type: NAME | LAYER | FN ;
outputs: output        { $$ = TREE(NODE_OUTPUTS, @$, .list = $1->list); }
       | RANDOM output { $$ = TREE(NODE_OUTPUTS, @$, .list = $2->list, .flag = true); } ;
output: input                { $$ = tree_list(parser, $1); }
      | '(' input_list_2 ')' { $$ = $2; } ;
input_list_2: input ',' input        { $$ = tree_append(parser, tree_list(parser, $1), $3); }
            | input_list_2 ',' input { $$ = tree_append(parser, $1, $3); } ;

/* ---- statements: one grammar for every block; what may stand where is a question of meaning ---- */
block: '{' '}'       { $$ = TREE(NODE_BLOCK, @$, .flag = false); }
     | '{' stmts '}' { $$ = TREE(NODE_BLOCK, @$, .list = $2->list); } ;
stmts: stmt               { $$ = tree_list(parser, $1); }
     | stmts NEWLINE stmt { $$ = tree_append(parser, $1, $3); } ;
stmt: defs                      { $$ = TREE(NODE_DEFINE, @$, .list = $1->list); }
    | PARAM defs                { $$ = TREE(NODE_DEFINE, @$, .list = $2->list, .text = "param"); }
    | STATE defs                { $$ = TREE(NODE_DEFINE, @$, .list = $2->list, .text = "state"); }
    | when
    | OVER NAME FROM defs block { $$ = TREE(NODE_OVER, @$, NAMED($2), .list = $4->list, .b = $5); }
    | OVER NAME ':' expr FROM defs block
        { $$ = TREE(NODE_OVER, @$, NAMED($2), .a = $4, .list = $6->list, .b = $7); }
    | word block                { $$ = TREE(NODE_NAMED, @$, NAMED($1), .b = $2); check_named_block(parser, $1); }
    | NAME NAME block           { $$ = TREE(NODE_NAMED, @$, NAMED($1), .text = $2->name, .b = $3); }
    | EXPECT expr               { $$ = TREE(NODE_EXPECT, @$, .a = $2); }
    | EXPECT STRING expr        { $$ = TREE(NODE_EXPECT, @$, .text = $2->text, .a = $3); }
    | CLAIM expr                { $$ = TREE(NODE_CLAIM, @$, .a = $2); }
    | CLAIM STRING expr         { $$ = TREE(NODE_CLAIM, @$, .text = $2->text, .a = $3); }
    | NAME CLAIM expr           { $$ = TREE(NODE_CLAIM, @$, NAMED($1), .a = $3); }
    | NAME CLAIM STRING expr    { $$ = TREE(NODE_CLAIM, @$, NAMED($1), .text = $3->text, .a = $4); }
    | NAME IN exprs             { $$ = TREE(NODE_VARY, @$, NAMED($1), .list = $3->list); }
    | error                     { $$ = NULL; yyclearin; yyerrok; } ;
when: IF expr block            { $$ = TREE(NODE_WHEN, @$, .a = $2, .b = $3); }
    | IF expr block ELSE block { $$ = TREE(NODE_WHEN, @$, .a = $2, .b = $3, .c = $5); }
    | IF expr block ELSE when  { $$ = TREE(NODE_WHEN, @$, .a = $2, .b = $3, .c = $5); } ;
exprs: expr           { $$ = tree_list(parser, $1); }
     | exprs ',' expr { $$ = tree_append(parser, $1, $3); } ;
defs: def          { $$ = tree_list(parser, $1); }
    | defs ',' def { $$ = tree_append(parser, $1, $3); } ;
def: one_target '=' pipe         { $$ = TREE(NODE_DEFINITION, @$, .list = $1->list, .op = '=', .a = $3); }
   | one_target '=' pipe ON expr { $$ = TREE(NODE_DEFINITION, @$, .list = $1->list, .op = '=', .a = $3, .b = $5); }
   | one_target '~' expr         { $$ = TREE(NODE_DEFINITION, @$, .list = $1->list, .op = '~', .a = $3); }
   | one_target '~' expr PER NAME
        { $$ = TREE(NODE_DEFINITION, @$, .list = $1->list, .op = '~', .a = $3, .text = $5->name); }
   | one_target UPDATE pipe      { $$ = TREE(NODE_DEFINITION, @$, .list = $1->list, .op = 'u', .a = $3); }
   | '(' targets ')' '=' pipe    { $$ = TREE(NODE_DEFINITION, @$, .list = $2->list, .op = '=', .a = $5); } ;
one_target: target { $$ = tree_list(parser, $1); } ;
targets: target ',' target  { $$ = tree_append(parser, tree_list(parser, $1), $3); }
       | targets ',' target { $$ = tree_append(parser, $1, $3); } ;
target: word              { $$ = TREE(NODE_TARGET, @$, NAMED($1)); }
      | NAME '[' subs ']' { $$ = TREE(NODE_TARGET, @$, NAMED($1), .list = $3->list, .flag = true); } ;
word: NAME | TRAIN ;

/* ---- expressions ---- */
pipe: expr
    | PIPE stage      { $$ = tree_pipe(parser, @$, NULL, $2); } /* a pipeline whose input is missing is a layer */
    | pipe PIPE stage { $$ = tree_pipe(parser, @$, $1, $3); } ;
stage: path                           { $$ = TREE(NODE_STAGE, @$, .a = $1); }
     | path '(' args ')'              { $$ = TREE(NODE_STAGE, @$, .a = $1, .list = $3->list); }
     | path '[' subs ']'              { $$ = TREE(NODE_STAGE, @$, .a = $1, .more = $3->list, .flag = true); }
     | path '[' subs ']' '(' args ')' { $$ = TREE(NODE_STAGE, @$, .a = $1, .more = $3->list, .flag = true, .list = $6->list); }
     | REPEAT expr '{' pipe '}'          { $$ = TREE(NODE_REPEAT, @$, .a = $2, .b = $4); }
     | REPEAT NAME ':' expr '{' pipe '}' { $$ = TREE(NODE_REPEAT, @$, NAMED($2), .a = $4, .b = $6); } ;

expr: primary
    | expr '+' expr        { $$ = BINARY('+', $1, $3, @$); }
    | expr '-' expr        { $$ = BINARY('-', $1, $3, @$); }
    | expr '*' expr        { $$ = BINARY('*', $1, $3, @$); }
    | expr '/' expr        { $$ = BINARY('/', $1, $3, @$); }
    | expr FLOORDIV expr   { $$ = BINARY('f', $1, $3, @$); }
    | expr '%' expr        { $$ = BINARY('%', $1, $3, @$); }
    | expr '^' expr        { $$ = BINARY('^', $1, $3, @$); }
    | '-' expr %prec NEGATE { $$ = TREE(NODE_UNARY, @$, .op = '-', .a = $2); }
    | expr EQ expr         { $$ = BINARY('=', $1, $3, @$); }
    | expr NE expr         { $$ = BINARY('!', $1, $3, @$); }
    | expr LE expr         { $$ = BINARY('l', $1, $3, @$); }
    | expr GE expr         { $$ = BINARY('g', $1, $3, @$); }
    | expr '<' expr        { $$ = BINARY('<', $1, $3, @$); }
    | expr '>' expr        { $$ = BINARY('>', $1, $3, @$); }
    | expr AND expr        { $$ = BINARY('a', $1, $3, @$); }
    | expr OR expr         { $$ = BINARY('o', $1, $3, @$); }
    | NOT expr             { $$ = TREE(NODE_UNARY, @$, .op = 'n', .a = $2); }
    | REDUCE '[' subs ']' expr %prec SUM       { $$ = TREE(NODE_REDUCE, @$, NAMED($1), .list = $3->list, .a = $5); }
    | IF expr THEN expr ELSE expr %prec LONGIF { $$ = TREE(NODE_IF, @$, .a = $2, .b = $4, .c = $6); } ;

primary: NUMBER
       | STRING %prec TITLE
       | ref
       | path '(' args ')'              { $$ = TREE(NODE_CALL, @$, .a = $1, .list = $3->list); }
       | path '[' subs ']' '(' args ')' { $$ = TREE(NODE_CALL, @$, .a = $1, .more = $3->list, .flag = true, .list = $6->list); }
       | REDUCE '(' args ')'            { $$ = TREE(NODE_CALL, @$, .a = tree_path(parser, @1, NULL, $1), .list = $3->list); }
       | ALL primary                    { $$ = TREE(NODE_ALL, @$, .a = $2); }
       | '(' pipe ')'                   { $$ = TREE(NODE_GROUPED, @$, .a = $2); }
       | '(' ref ELSE expr ')'          { $$ = TREE(NODE_ELSE, @$, .a = $2, .b = $4); } ;
       /* a read that may leave its range; the parentheses keep its `else` apart from that of `if` */
ref: path
   | path '[' subs ']' { $$ = TREE(NODE_READ, @$, .a = $1, .list = $3->list); } ;
path: word          { $$ = tree_path(parser, @$, NULL, $1); }
    | path '.' word { $$ = tree_path(parser, @$, $1, $3); } ;

subs: sub          { $$ = tree_list(parser, $1); }
    | subs ',' sub { $$ = tree_append(parser, $1, $3); }
    | subs ';' sub { $$ = tree_append(parser, tree_append(parser, $1, TREE(NODE_SEMICOLON, @2, .op = ';')), $3); } ;
sub: expr
   | DOTS          { $$ = TREE(NODE_DOTS, @$, .op = 0); }
   | NAME '=' expr { $$ = TREE(NODE_ARGUMENT, @$, NAMED($1), .a = $3); } /* of what an experiment recorded: at this setting */
   | NAME ':' expr { $$ = TREE(NODE_AXIS, @$, NAMED($1), .a = $3); } /* a new axis and its extent, or `batch: n` in a read */
   | '(' DOTS ')'  { $$ = TREE(NODE_COMPOSITE, @$, .list = tree_list(parser, TREE(NODE_DOTS, @2, .op = 0))->list); }
   | '(' sub_list_2 ')' { $$ = TREE(NODE_COMPOSITE, @$, .list = $2->list); } ; /* several axes as one, row-major */
sub_list_2: sub ',' sub        { $$ = tree_append(parser, tree_list(parser, $1), $3); }
          | sub_list_2 ',' sub { $$ = tree_append(parser, $1, $3); } ;

args: %empty { $$ = tree_list(parser, NULL); } | arg_list ;
arg_list: arg              { $$ = tree_list(parser, $1); }
        | arg_list ',' arg { $$ = tree_append(parser, $1, $3); } ;
arg: pipe          { $$ = TREE(NODE_ARGUMENT, @$, .a = $1); }
   | NAME '=' pipe { $$ = TREE(NODE_ARGUMENT, @$, NAMED($1), .a = $3); }
   | DOTS          { $$ = TREE(NODE_ARGUMENT, @$, .a = TREE(NODE_DOTS, @$, .op = 0)); } ;
%%

static int yyreport_syntax_error(const yypcontext_t *context, struct parser *parser)
{
    yysymbol_kind_t expected[YYNTOKENS];
    const char *names[YYNTOKENS];
    int count = yypcontext_expected_tokens(context, expected, YYNTOKENS);

    for (int i = 0; i < count; i++)
        names[i] = yysymbol_name(expected[i]);
    report_syntax_error(parser, parser->last, names, count > 0 ? count : 0);
    parser->skipping = true;
    return 0;
}

/* Only called when the parser's stack is full: syntax errors are reported above. */
static void rnet_error(struct range *at, struct parser *parser, const char *what)
{
    diagnose(parser->d, "E0101", (struct span){parser->source, at->begin, at->end}, "nested too deeply: %s", what);
}
