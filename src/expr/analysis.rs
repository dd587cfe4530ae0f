//! What a template looks at, told from its syntax tree before it ever runs: places of the event document, names that must exist,
//! templates that it includes, and operators that cannot be exact. Of places it may name too many, never too few.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::Error;
use minijinja::machinery::ast::{Call, CallArg, Expr, Macro, Stmt};
use minijinja::machinery::{Span, parse, parse_expr};

use super::exact;
use super::template::TemplateError;

/// What a template looks at. Ranges are bytes of its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Analysis {
    /// What it takes from outside, in order: names of the document, secrets, functions.
    pub(crate) names: Vec<Name>,
    /// The templates that it includes or imports by name.
    pub(crate) included: Vec<Included>,
    /// What it may not do.
    pub(crate) problems: Vec<TemplateError>,
    /// Where the keys of `hmac` stand.
    pub(crate) hmac_keys: Vec<Range<usize>>,
}

/// Something that a template takes from outside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// As deep as names go: `["order", "customer", "number"]`.
    pub(crate) place: Vec<String>,
    /// Where the first name stands.
    pub(crate) first: Range<usize>,
    /// Where the whole place stands.
    pub(crate) whole: Range<usize>,
    /// Whether it is called like a function.
    pub(crate) called: bool,
    /// Whether the template may have made it by then: on one of the ways that lead there.
    pub(crate) may_be_made: bool,
}

/// An included or imported template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Included {
    /// Its name.
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) range: Range<usize>,
    /// Whether it need not exist.
    pub(crate) optional: bool,
    /// The names that the including template has made itself by then.
    pub(crate) locals: BTreeSet<String>,
}

impl Analysis {
    /// The secrets that stand anywhere but as the key of `hmac`, from where nothing of them comes out.
    pub(crate) fn bare_secrets(&self) -> impl Iterator<Item = &str> {
        let bare = self.names.iter().filter(|name| name.place[0] == "secret" && !self.hmac_keys.contains(&name.whole));
        bare.map(|name| name.place.get(1).map_or("", String::as_str))
    }
}

/// Analyses a whole template.
pub(crate) fn of_template(text: &str) -> Result<Analysis, Error> {
    let tree = parse(text, "", minijinja::syntax::SyntaxConfig::default())?;
    let mut walker = Walker::new(text);
    walker.statement(&tree);
    Ok(walker.analysis)
}

/// Analyses a bare expression.
pub(crate) fn of_expression(text: &str) -> Result<Analysis, Error> {
    let tree = parse_expr(text)?;
    let mut walker = Walker::new(text);
    walker.expression(&tree);
    Ok(walker.analysis)
}

struct Walker<'t> {
    text: &'t str,
    /// The names made so far, for each block that is open, and whether they are made whichever way is taken.
    made: Vec<BTreeMap<String, bool>>,
    analysis: Analysis,
}

pub(super) fn range(span: Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

impl<'t> Walker<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, made: vec![BTreeMap::new()], analysis: Analysis::default() }
    }

    fn is_made(&self, name: &str) -> bool {
        self.made.iter().any(|names| names.get(name) == Some(&true))
    }

    fn make(&mut self, name: &str) {
        if let Some(names) = self.made.last_mut() {
            names.insert(name.to_owned(), true);
        }
    }

    fn make_target(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(name) => self.make(name.id),
            Expr::List(list) => list.items.iter().for_each(|item| self.make_target(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.make_target(item)),
            // `{% set found.value = … %}` changes what exists
            other => self.expression(other),
        }
    }

    /// What is made in a block is gone behind it.
    fn block(&mut self, statements: &[Stmt<'_>]) {
        self.made.push(BTreeMap::new());
        self.all(statements);
        self.made.pop();
    }

    /// Two ways of which one is taken: what both make is made behind them, what one of them makes may be.
    fn either(&mut self, one: &[Stmt<'_>], other: &[Stmt<'_>]) {
        let before = self.made.last().cloned().unwrap_or_default();
        self.all(one);
        let by_one = self.made.last_mut().map(|names| std::mem::replace(names, before)).unwrap_or_default();
        self.all(other);
        let Some(names) = self.made.last_mut() else { return };
        names.iter_mut().for_each(|(name, always)| *always &= by_one.get(name) == Some(&true));
        for name in by_one.into_keys() {
            names.entry(name).or_insert(false);
        }
    }

    fn all(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(template) => self.all(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                self.expression(&each.iter);
                self.made.push(BTreeMap::from([("loop".to_owned(), true)]));
                self.make_target(&each.target);
                each.filter_expr.iter().for_each(|filter| self.expression(filter));
                self.all(&each.body);
                self.made.pop();
                self.block(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.either(&condition.true_body, &condition.false_body);
            }
            Stmt::WithBlock(with) => {
                self.made.push(BTreeMap::new());
                for (target, value) in &with.assignments {
                    self.expression(value);
                    self.make_target(target);
                }
                self.all(&with.body);
                self.made.pop();
            }
            Stmt::Set(set) => {
                self.expression(&set.expr);
                self.make_target(&set.target);
            }
            Stmt::SetBlock(set) => {
                set.filter.iter().for_each(|filter| self.expression(filter));
                self.block(&set.body);
                self.make_target(&set.target);
            }
            Stmt::AutoEscape(escape) => {
                self.expression(&escape.enabled);
                self.block(&escape.body);
            }
            Stmt::FilterBlock(filter) => {
                self.expression(&filter.filter);
                self.block(&filter.body);
            }
            Stmt::Macro(defined) => {
                self.make(defined.name);
                self.in_macro(defined);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call);
                self.in_macro(&block.macro_decl);
            }
            Stmt::Do(statement) => self.call(&statement.call),
            Stmt::Include(include) => self.include(&include.name, include.ignore_missing),
            Stmt::Import(import) => {
                self.include(&import.expr, false);
                self.make_target(&import.name);
            }
            Stmt::FromImport(import) => {
                self.include(&import.expr, false);
                import.names.iter().for_each(|(name, alias)| self.make_target(alias.as_ref().unwrap_or(name)));
            }
            Stmt::Extends(extends) => self.refuse_inheritance(range(extends.span())),
            Stmt::Block(block) => {
                self.refuse_inheritance(range(block.span()));
                self.block(&block.body);
            }
        }
    }

    fn in_macro(&mut self, defined: &Macro<'_>) {
        self.made.push(BTreeMap::from([("caller".to_owned(), true)]));
        let required = defined.args.len().saturating_sub(defined.defaults.len());
        for (index, argument) in defined.args.iter().enumerate() {
            if let Some(default) = index.checked_sub(required).and_then(|at| defined.defaults.get(at)) {
                self.expression(default);
            }
            self.make_target(argument);
        }
        self.all(&defined.body);
        self.made.pop();
    }

    fn include(&mut self, name: &Expr<'_>, optional: bool) {
        let choices: Vec<&Expr<'_>> = match name {
            Expr::List(list) => list.items.iter().collect(),
            Expr::Tuple(tuple) => tuple.items.iter().collect(),
            one => vec![one],
        };
        let several = choices.len() > 1;
        for choice in choices {
            match choice {
                Expr::Const(value) if value.value.as_str().is_some() => {
                    let made = self.made.iter().flatten().filter(|(_, always)| **always);
                    let locals = made.map(|(name, _)| name.clone()).collect();
                    let name = value.value.as_str().unwrap_or_default().to_owned();
                    let optional = optional || several;
                    self.analysis.included.push(Included { name, range: range(value.span()), optional, locals });
                }
                other => self.problem(
                    "the name of an included template must be written out, so that it is known what belongs to this version",
                    range(other.span()),
                    "write `{% if … %}{% include \"one\" %}{% else %}{% include \"other\" %}{% endif %}`",
                ),
            }
        }
    }

    fn refuse_inheritance(&mut self, range: Range<usize>) {
        let hint = "write `{% include \"name\" %}` or `{% import \"name\" as name %}`";
        self.problem("templates do not extend one another here", range, hint);
    }

    fn problem(&mut self, message: &str, range: Range<usize>, hint: &str) {
        let problem = TemplateError { message: message.to_owned(), range: Some(range), hint: Some(hint.to_owned()) };
        self.analysis.problems.push(problem);
    }

    fn refuse(&mut self, problem: Option<TemplateError>) {
        self.analysis.problems.extend(problem);
    }

    /// An argument of a function that takes a fraction as it is written.
    fn exact_argument(&mut self, argument: &Expr<'_>) {
        if exact::is_fraction(argument) {
            self.refuse(exact::argument(self.text, argument));
        } else {
            self.expression(argument);
        }
    }

    fn expression(&mut self, expression: &Expr<'_>) {
        match expression {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.look_at(expression, false),
            Expr::Const(_) => self.refuse(exact::fraction(self.text, expression)),
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                [&slice.start, &slice.stop, &slice.step].into_iter().flatten().for_each(|part| self.expression(part));
            }
            Expr::UnaryOp(unary) => self.expression(&unary.expr),
            Expr::BinOp(binary) => {
                self.expression(&binary.left);
                self.expression(&binary.right);
                self.refuse(exact::operator(self.text, binary.op, &binary.left, &binary.right));
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr);
                compare.ops.iter().for_each(|operator| self.expression(&operator.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                choice.false_expr.iter().for_each(|other| self.expression(other));
            }
            Expr::Filter(filter) => {
                let exact = exact::takes_fractions(filter.name);
                match &filter.expr {
                    Some(input) if exact => self.exact_argument(input),
                    input => input.iter().for_each(|input| self.expression(input)),
                }
                self.arguments(&filter.args, exact);
                self.refuse(exact::pattern(filter.name, filter.args.first()));
                self.note_key(filter.name, filter.args.get(1));
            }
            Expr::Test(test) => {
                self.expression(&test.expr);
                self.arguments(&test.args, false);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => map.keys.iter().chain(&map.values).for_each(|part| self.expression(part)),
        }
    }

    fn call(&mut self, call: &Call<'_>) {
        let mut exact = false;
        match &call.expr {
            callee @ Expr::Var(name) => {
                exact = exact::takes_fractions(name.id);
                self.look_at(callee, true);
                self.refuse(exact::pattern(name.id, call.args.get(1)));
                self.note_key(name.id, call.args.get(2));
            }
            // what a method gives may come from all of its object
            Expr::GetAttr(method) => self.expression(&method.expr),
            other => self.expression(other),
        }
        self.arguments(&call.args, exact);
    }

    fn note_key(&mut self, function: &str, key: Option<&CallArg<'_>>) {
        if let ("hmac", Some(CallArg::Pos(key))) = (function, key) {
            self.analysis.hmac_keys.push(range(key.span()));
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>], exact: bool) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value) if exact => self.exact_argument(value),
                CallArg::Pos(value) | CallArg::Kwarg(_, value) | CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                    self.expression(value);
                }
            }
        }
    }

    fn look_at(&mut self, expression: &Expr<'_>, called: bool) {
        if let Some(place) = self.place(expression)
            && !self.is_made(&place.names[0])
        {
            let may_be_made = self.made.iter().any(|names| names.contains_key(&place.names[0]));
            let name = Name { place: place.names, first: place.first, whole: range(expression.span()), called, may_be_made };
            self.analysis.names.push(name);
        }
    }

    /// The place that a chain of names leads to, cut where a name is not written out; what else the chain looks at is noted.
    fn place(&mut self, expression: &Expr<'_>) -> Option<Place> {
        match expression {
            Expr::Var(name) => Some(Place { names: vec![name.id.to_owned()], first: range(name.span()), whole: true }),
            Expr::GetAttr(attribute) => self.place(&attribute.expr).map(|place| place.then(attribute.name)),
            Expr::GetItem(item) => {
                let place = self.place(&item.expr);
                let written = match &item.subscript_expr {
                    Expr::Const(value) => value.value.as_str(),
                    other => {
                        self.expression(other);
                        None
                    }
                };
                match written {
                    Some(name) => place.map(|place| place.then(name)),
                    None => place.map(|place| Place { whole: false, ..place }),
                }
            }
            other => {
                self.expression(other);
                None
            }
        }
    }
}

struct Place {
    names: Vec<String>,
    first: Range<usize>,
    whole: bool,
}

impl Place {
    fn then(mut self, name: &str) -> Self {
        if self.whole {
            self.names.push(name.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let analysis = of_template(text).expect(text);
        analysis.names.iter().map(|name| name.place.join("/")).collect()
    }

    #[test]
    fn everything_that_is_looked_at_is_named() {
        for (text, expected) in [
            ("{{ body.a.b }}{{ body['hub.mode'].x }}", &["body/a/b", "body/hub.mode/x"] as &[_]),
            ("{{ body.lines[1:][0].x }}", &["body/lines"]),
            ("{{ body.lines[0].x }}", &["body/lines"]),
            ("{{ body[event].x }}", &["event", "body"]),
            ("{{ body.items() }}", &["body"]),
            ("{% set body = body.x %}{{ body.y }}", &["body/x"]),
            ("{% with body = body.x %}{{ body.y }}{% endwith %}{{ body.z }}", &["body/x", "body/z"]),
            ("{% if a %}{% set y = 1 %}{% else %}{% set y = 2 %}{% endif %}{{ y }}", &["a"]),
            ("{% if a %}{% set y = 1 %}{% elif b %}{% set y = 2 %}{% else %}{% set y = c %}{% endif %}{{ y }}", &["a", "b", "c"]),
            ("{% if a %}{% set y = 1 %}{% elif b %}{% set y = 2 %}{% endif %}{{ y }}", &["a", "b", "y"]),
            ("{% set y = 1 %}{% if a %}{% set y = 2 %}{% endif %}{{ y }}", &["a"]),
            ("{% if a %}{% set body = 1 %}{% endif %}{{ body.y }}", &["a", "body/y"]),
            ("{% for body in body.x %}{{ body.y }}{{ loop.index }}{% else %}{{ body.z }}{% endfor %}", &["body/x", "body/z"]),
            ("{% macro m(a, b=a, c=d) %}{{ a }}{{ b }}{{ c }}{{ e.f }}{% endmacro %}{{ m(body.g) }}", &["d", "e/f", "body/g"]),
            ("{% set x %}{{ body.a }}{% endset %}{{ x }}", &["body/a"]),
            (
                "{{ (body.a if body.b else body.c) | default(body.d) is divisibleby(body.e) }}",
                &["body/b", "body/a", "body/c", "body/d", "body/e"],
            ),
            ("{% filter replace(body.a, body.b) %}{{ body.c }}{% endfilter %}", &["body/a", "body/b", "body/c"]),
            ("{% set n = namespace(x=body.a) %}{% set n.x = body.b %}{{ n.x }}", &["namespace", "body/a", "body/b"]),
            (
                "{{ {body.a: body.b}[body.c] }}{{ -body.d }}{{ body.e not in body.f }}",
                &["body/a", "body/b", "body/c", "body/d", "body/e", "body/f"],
            ),
        ] {
            assert_eq!(places(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_exact_is_refused_at_its_place() {
        for (text, expected) in [
            ("a ~ b", Some("~")),
            ("a / b", Some("/")),
            ("a // b", None),
            ("n * 1.1", Some("1.1")),
            ("mul(n, 1.1)", None),
            ("mul(n, 0.12345678901234567890)", Some("0.12345678901234567890")),
            ("-0.5 + n", Some("0.5")),
            ("'~' in a", None),
            ("a == 1.5", Some("1.5")),
            ("a in [1.5]", Some("1.5")),
            ("compare(a, 1.5) == 0", None),
            ("a ** b", Some("**")),
            ("a is gt(0.5)", Some("0.5")),
            ("a | regex_match('(')", Some("'('")),
        ] {
            let analysis = of_expression(text).expect(text);
            let found = analysis.problems.first().and_then(|problem| problem.range.clone()).map(|range| &text[range]);
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_secret_is_bare_unless_it_is_the_key_of_a_signature() {
        for (text, bare) in [
            ("{{ body.t | hmac('sha256', secret.a) | hex }}", false),
            ("{{ hmac(body.t, 'sha256', secret.a) | hex }}", false),
            ("{{ secret.a }}", true),
            ("{{ secret.a | sha256 | hex }}", true),
            ("{{ secret.a | hmac('sha256', secret.b) }}", true),
            ("{{ body.t | hmac('sha256', secret.a ~ 'x') }}", true),
            ("{{ body.t | hmac('sha256', secret) }}", false),
        ] {
            assert_eq!(of_template(text).expect(text).bare_secrets().next().is_some(), bare, "{text}");
        }
    }

    #[test]
    fn included_templates_are_followed_by_name_only() {
        let text = "{% for x in body %}{% include 'a' %}{% endfor %}{% from 'b' import m %}{% include [ 'c', 'd' ] %}";
        let analysis = of_template(text).expect(text);
        let names: Vec<&str> = analysis.included.iter().map(|included| included.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert!(analysis.included[0].locals.contains("x") && !analysis.included[1].locals.contains("x"));
        assert!(of_template("{% include body.x %}").expect("template").problems.len() == 1);
        assert!(of_template("{% extends 'a' %}").expect("template").problems.len() == 1);
    }
}
