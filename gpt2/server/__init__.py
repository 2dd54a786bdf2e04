"""One local web application: the page that shows a forward pass. explain/ computes and never imports it."""
