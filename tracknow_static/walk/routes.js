// Returns the payment routes of this document, in the order of its elements:
// [{kind, url, element, closed}]; closed: it is in a closed shadow root.
// arguments: payment hosts; whether a script of the page mentions a payment page.
const [hosts, scripted] = arguments;
const found = [];
const payment = (text) => {
  try {
    const url = new URL(text, document.baseURI);
    return hosts.includes(url.hostname) ? url.href : "";
  } catch {
    return "";
  }
};
const mentions = (text) => hosts.some((host) => text.includes(host));
const looksLikeButton = 'button, [role=button], input[type=button], a[href^="#"], a[href^="javascript:"]';
const visit = (root, closed) => {
  for (const element of root.querySelectorAll("*")) {
    const tag = element.localName;
    const href = element.getAttribute("href") || element.getAttribute("xlink:href") || "";
    let kind = "";
    let url = "";
    if ((tag === "a" || tag === "area") && (url = payment(href))) kind = "link";
    else if (tag === "form" && (url = payment(element.getAttribute("action") || ""))) kind = "form";
    else if (element.hasAttribute("formaction") && (url = payment(element.getAttribute("formaction"))))
      kind = "form";
    else if (tag === "stripe-buy-button" || tag === "stripe-pricing-table") {
      kind = tag.slice(7);
      url = element.getAttribute("buy-button-id") || element.getAttribute("pricing-table-id") || "";
    } else if ([...element.attributes].some(({ name, value }) => name !== "srcdoc" && mentions(value)))
      kind = "handler";
    else if (scripted && element.matches(looksLikeButton)) kind = "button";
    if (kind && !(kind === "handler" && /^(script|link|meta|iframe|img)$/.test(tag)))
      found.push({ kind, url, element, closed });
    const inner = element.shadowRoot || element[Symbol.for("tracknow walk")];
    if (inner) visit(inner, closed || !element.shadowRoot);
  }
};
visit(document, false);
return found;
