//! XML bodies as JSON. No DOCTYPE, so no entities but XML's own five and nothing to fetch.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use serde_json::{Map, Value as Json};

use super::form::add;
use super::limits::{Budget, MOST_LEVELS, place_of};

/// Reads a body into an object whose one field is the root element.
///
/// | XML | is |
/// |---|---|
/// | `<order><no>7</no></order>` | `{ "order": { "no": "7" } }`: an element with only text is that text, as it stands |
/// | `<no/>`, `<no></no>` | the empty text |
/// | `<order id="7">` | a field `@id` beside the children: `$.body.order['@id']` |
/// | `<no unit="h">7</no>`, `<p>a <b/> c</p>` | the text beside attributes or children is the field `#text` |
/// | `<line/><line/>` | repeated elements are a list; one alone is not, unless `lists: [$.body.order.line]` says so |
/// | `<soap:Body xmlns:soap="…">` | prefixes stay: `$.body['soap:Envelope']['soap:Body']`; `xmlns` is an attribute like others |
/// | `&amp;`, `&#248;`, `<![CDATA[…]]>` | the text that they stand for |
///
/// White space between elements, comments and processing instructions are left out. Values are texts; columns and `as` turn
/// them into numbers and times. A DOCTYPE is refused.
pub(super) fn decode(text: &str, budget: Budget) -> Result<Json, String> {
    let mut reader = Reader::from_str(text);
    let mut tree = Tree { open: Vec::new(), root: None, budget };
    loop {
        let read = reader.read_event();
        let at = if read.is_err() { reader.error_position() } else { reader.buffer_position() };
        let failed = |reason: String| {
            let at = usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
            format!("the body is not XML that is read: {reason} at {}", place_of(text, at))
        };
        match read.map_err(|error| failed(fault(&error)))? {
            Event::Eof => return tree.finish().map_err(failed),
            event => tree.take(event).map_err(failed)?,
        }
    }
}

/// The charset that an XML declaration names, for bodies whose content type names none.
pub(super) fn declared_charset(bytes: &[u8]) -> Option<&str> {
    let start = bytes.get(..bytes.len().min(200))?;
    let end = start.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&start[..end]).ok()?.strip_prefix("<?xml")?;
    let value = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    value[1..].split(quote).next()
}

/// What is wrong, without what stands there: it may be a secret.
fn fault(error: &quick_xml::Error) -> String {
    use quick_xml::Error;
    match error {
        Error::Syntax(_) => "it ends inside a tag, a comment or the like".to_owned(),
        Error::IllFormed(_) => "an element is closed that is not open, or an `&` is not written as `&amp;`".to_owned(),
        Error::InvalidAttr(_) => "an attribute is not of the form `name=\"value\"`".to_owned(),
        Error::Escape(_) => "`&` stands before what is no entity of XML".to_owned(),
        Error::Io(_) | Error::Encoding(_) | Error::Namespace(_) => "it cannot be read".to_owned(),
    }
}

struct Tree {
    open: Vec<Element>,
    root: Option<Json>,
    budget: Budget,
}

/// An element that is not closed yet.
struct Element {
    name: String,
    fields: Map<String, Json>,
    text: String,
    /// The text since the last tag.
    run: String,
    has_children: bool,
}

impl Tree {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::Empty(tag) => {
                self.start(&tag)?;
                self.end();
                Ok(())
            }
            Event::End(_) => {
                self.end();
                Ok(())
            }
            Event::Text(text) => self.text(&text.xml10_content()),
            Event::CData(text) => self.text(&text.xml10_content()),
            Event::GeneralRef(entity) => self.text(resolve(&entity)?.encode_utf8(&mut [0; 4])),
            Event::DocType(_) => Err("a DOCTYPE is not read; expected XML without one".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), String> {
        if self.open.len() >= MOST_LEVELS {
            return Err(format!("it nests deeper than {MOST_LEVELS} levels"));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err("a second root element stands behind the first".to_owned());
        }
        self.budget.take()?;
        if let Some(parent) = self.open.last_mut() {
            parent.has_children = true;
            parent.keep_run();
        }
        let name = proper_name(tag.name().0)?;
        let mut fields = Map::new();
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| fault(&error.into()))?;
            self.budget.take()?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| fault(&error))?;
            let name = format!("@{}", proper_name(attribute.key.0)?);
            if fields.insert(name, Json::String(value.into_owned())).is_some() {
                return Err("an element has an attribute twice".to_owned());
            }
        }
        self.open.push(Element { name, fields, text: String::new(), run: String::new(), has_children: false });
        Ok(())
    }

    fn end(&mut self) {
        let Some(element) = self.open.pop() else { return };
        let (name, value) = element.finish();
        match self.open.last_mut() {
            Some(parent) => add(&mut parent.fields, name, value),
            None => self.root = Some(Json::Object(Map::from_iter([(name, value)]))),
        }
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.run.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("text stands outside the root element".to_owned()),
        }
        Ok(())
    }

    fn finish(self) -> Result<Json, String> {
        if !self.open.is_empty() {
            return Err("it ends before every element is closed".to_owned());
        }
        self.root.ok_or_else(|| "it has no element".to_owned())
    }
}

impl Element {
    /// Takes the text between two tags over, unless it is only there to indent them.
    fn keep_run(&mut self) {
        if !self.run.trim().is_empty() {
            self.text.push_str(&self.run);
        }
        self.run.clear();
    }

    fn finish(mut self) -> (String, Json) {
        if self.fields.is_empty() && !self.has_children {
            return (self.name, Json::String(self.run));
        }
        self.keep_run();
        if !self.text.is_empty() {
            self.fields.insert("#text".to_owned(), Json::String(self.text));
        }
        (self.name, Json::Object(self.fields))
    }
}

/// Names that are none would pose as attributes or text.
fn proper_name(name: &str) -> Result<String, String> {
    let starts_well = |letter: char| letter.is_alphabetic() || matches!(letter, '_' | ':');
    if name.starts_with(starts_well) { Ok(name.to_owned()) } else { Err("a tag or an attribute has no proper name".to_owned()) }
}

fn resolve(entity: &BytesRef<'_>) -> Result<char, String> {
    let unknown = || "an entity is none of XML's own five (`&amp;`, `&lt;`, `&gt;`, `&quot;`, `&apos;`)".to_owned();
    match entity.resolve_char_ref() {
        Ok(Some(letter)) => Ok(letter),
        Ok(None) => match entity.xml10_content().as_ref() {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(unknown()),
        },
        Err(_) => Err("a character reference names no character".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(body: &str) -> Result<String, String> {
        decode(body, Budget::verified()).map(|json| json.to_string())
    }

    #[test]
    fn elements_become_fields() {
        for (body, expected) in [
            ("<order><no>7</no><empty/></order>", r#"{"order":{"no":"7","empty":""}}"#),
            ("<?xml version=\"1.0\"?>\n<!-- c -->\n<a>\n  <b> x </b>\n</a>\n", r#"{"a":{"b":" x "}}"#),
            ("<a id=\"1&amp;2\" x='&#248;'>t</a>", r##"{"a":{"@id":"1&2","@x":"ø","#text":"t"}}"##),
            ("<a id=\"1\"/>", r#"{"a":{"@id":"1"}}"#),
            ("<a><l>1</l><l>2</l><m/><l n='3'/></a>", r#"{"a":{"l":["1","2",{"@n":"3"}],"m":""}}"#),
            ("<a>S&amp;S &lt;3 &#xF8; &quot;<![CDATA[<b>&amp;</b>]]></a>", r#"{"a":"S&S <3 ø \"<b>&amp;</b>"}"#),
            ("<p>one <b/> two\n</p>", r##"{"p":{"b":"","#text":"one  two\n"}}"##),
            ("<s:E xmlns:s=\"u\"><s:B>1</s:B></s:E>", r#"{"s:E":{"@xmlns:s":"u","s:B":"1"}}"#),
            ("<a/>", r#"{"a":""}"#),
            ("<a>1\r\n2</a>", r#"{"a":"1\n2"}"#),
        ] {
            assert_eq!(decoded(body).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_is_not_read_is_refused_by_place() {
        let deep = format!("{}{}", "<a>".repeat(65), "</a>".repeat(65));
        let bomb = r#"<!DOCTYPE lolz [<!ENTITY lol "hunter2">]><a>&lol;</a>"#;
        for (body, reason) in [
            (bomb, "a DOCTYPE is not read"),
            ("<a>&hunter2;</a>", "an entity is none of XML's own five"),
            ("<a>&#0;</a>", "a character reference"),
            ("<a x='&hunter2;'/>", "`&` stands before what is no entity"),
            ("<a>hunter2</b>", "an element is closed that is not open"),
            ("<a>S & S</a>", "not written as `&amp;`"),
            ("<a><b></a>", "closed that is not open"),
            ("<a>", "it ends before every element is closed"),
            ("<a", "it ends inside a tag"),
            ("<a/><b/>", "a second root"),
            ("<a/>hunter2", "text stands outside"),
            ("hunter2", "text stands outside"),
            ("  \n", "it has no element"),
            ("<a x='1' x='2'/>", "an attribute twice"),
            ("<a x=1/>", "an attribute is not of the form"),
            ("<@a/>", "no proper name"),
            (&deep, "deeper than 64 levels"),
        ] {
            let found = decoded(body).expect_err(body);
            assert!(found.contains(reason) && !found.contains("hunter2"), "{body}: {found}");
        }
    }

    #[test]
    fn the_declaration_may_name_the_charset() {
        assert_eq!(declared_charset(b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>"), Some("ISO-8859-1"));
        assert_eq!(declared_charset(b"<?xml version=\"1.0\" encoding = \"utf-8\" ?><a/>"), Some("utf-8"));
        assert_eq!(declared_charset(b"<a encoding='x'/>"), None);
    }

    proptest! {
        #[test]
        fn escaped_text_comes_back(text in "[^\\x00-\\x08\\r]{1,20}", value in "[^\\x00-\\x1f]{0,20}") {
            let escape = quick_xml::escape::escape;
            let body = format!("<a><b>{}</b><c x=\"{}\"/></a>", escape(&text), escape(&value));
            prop_assert_eq!(decode(&body, Budget::verified()), Ok(serde_json::json!({ "a": { "b": text, "c": { "@x": value } } })));
        }

        #[test]
        fn any_text_is_an_object_or_a_reason(text in any::<String>(), signs in "[<>/ab!?\\[\\]CDAT&;#x=' -]{0,60}") {
            let _ = decode(&text, Budget::verified());
            let _ = decode(&signs, Budget::verified());
            let _ = decode(&format!("<a>{signs}</a>"), Budget::verified());
            let _ = declared_charset(text.as_bytes());
        }
    }
}
