"""How a panel looks, and what a screen reader says of its controls."""

__all__ = ["STYLE"]

# A slider of ipywidgets stands beside its label and is not joined to it, nor is a group of buttons, and no trait can do
# it. So the page joins them by itself when the style sheet has arrived, and again whenever a control is drawn anew.
# Where a page runs no such line, all works as before, without names.
NAME_CONTROLS = """
const panel = this.closest('.covidseg-panel');
const join = () => {
  for (const control of panel.querySelectorAll('.covidseg-control')) {
    const label = control.querySelector('.widget-label');
    if (!label) continue;
    label.id = label.id || 'covidseg-' + Math.random().toString(36).slice(2);
    const named = [...control.querySelectorAll('[role=slider], .widget-readout')];
    if (control.matches('.widget-toggle-buttons')) named.push(control);
    for (const one of named) one.setAttribute('aria-labelledby', label.id);
    for (const one of control.querySelectorAll('.widget-readout')) one.setAttribute('role', 'textbox');
    if (control.matches('.widget-toggle-buttons')) control.setAttribute('role', 'group');
    for (const one of control.querySelectorAll('.widget-toggle-button'))
      one.setAttribute('aria-pressed', one.matches('.mod-active'));
  }
};
if (panel) {
  join();
  const changes = { childList: true, subtree: true, attributes: true, attributeFilter: ['class'] };
  new MutationObserver(join).observe(panel, changes);
}
"""

STYLE = f"""<style onload="{NAME_CONTROLS}">
.covidseg-panel {{ gap: 20px; align-items: flex-start; }}
.covidseg-panel > .covidseg-side {{ gap: 4px; }}
.covidseg-panel .covidseg-picture {{ border-radius: 3px; }}
.covidseg-panel .covidseg-caption {{ margin-top: 10px; padding-top: 10px; border-top: 1px solid #8884; }}
.covidseg-panel .covidseg-caption .widget-html-content {{ font: 13px/1.5 var(--jp-ui-font-family, sans-serif);
  color: var(--jp-content-font-color1, inherit); white-space: normal; font-variant-numeric: tabular-nums; }}
.covidseg-panel .covidseg-error {{ color: #D55E00; font-weight: 600; }}
.covidseg-panel .covidseg-facts {{ border-collapse: collapse; margin: 8px 0; }}
.covidseg-panel .covidseg-facts th {{ font-weight: 400; text-align: left; padding: 1px 14px 1px 0; opacity: 0.75; }}
.covidseg-panel .covidseg-facts td, .covidseg-panel .covidseg-facts tr:first-child th {{
  text-align: right; padding: 1px 0 1px 14px; }}
.covidseg-panel .covidseg-control {{ align-items: center; }}
.covidseg-panel .covidseg-control > .widget-label {{ flex: 0 0 72px; text-align: left; opacity: 0.75; }}
.covidseg-panel .widget-toggle-buttons {{ display: flex; flex-flow: row nowrap; margin-left: 2px; }}
.covidseg-panel .widget-toggle-buttons > .widget-label {{ margin-right: 6px; }}
.covidseg-panel .widget-toggle-buttons .widget-toggle-button {{ width: auto; min-width: 44px; padding: 0 12px; }}
</style>"""
